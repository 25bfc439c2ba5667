"""Engines by name: `open_engine(model, "openvino", kind="stream", steps=5)`.

A released model holds weights; an engine for ONNX needs a file made from them. It is exported once, by a process of its
own, and kept in the cache under the hashes of weights and settings; the file's metadata is checked each time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vidpred_ros.engines.base import (
    EIGHT_BITS,
    ENGINES,
    EXPORT_VERSION,
    Arrays,
    Engine,
    GraphSpec,
    Progress,
    bf16_is_native,
    cache_folder,
    installed_engines,
)
from vidpred_ros.engines.choice import (
    GPU_ENGINES,
    EngineChoice,
    EngineLike,
    as_choice,
    candidates,
    check_precision,
    choose,
    file_precision,
    find_gpu,
    first_that_opens,
    torch_on_gpu,
)
from vidpred_ros.engines.plans import REFUSED
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel

__all__ = ["ENGINES", "Arrays", "Engine", "GraphSpec", "Progress", "cached_file", "installed_engines", "open_engine", "open_file"]

log = logging.getLogger(__name__)
#: An export takes seconds; this long means that something hangs.
EXPORT_TIMEOUT_S = 600


def cached_file(model: ReleasedModel, spec: GraphSpec) -> Path:
    """Where the exported file of a graph is kept. Raises ModelError for int8 of a model that has no ranges for it."""
    height, width = model.card.size
    graph = f"{height}x{width}-{spec.kind}-k{spec.steps}" + (f"-n{spec.samples}" if model.card.network.noise_channels else "")
    graph += (f"-b{spec.batch}" if spec.batch > 1 else "") + (f"-{spec.precision}" if spec.precision != "fp32" else "")
    if spec.precision in EIGHT_BITS:
        graph += f"-{model.int8.digest[:8]}"  # other ranges make another file
    return cache_folder() / f"{model.id}-{model.card.weights_sha256[:12]}-{network_digest(model)}-{graph}-v{EXPORT_VERSION}.onnx"


def network_digest(model: ReleasedModel) -> str:
    """Of the network's settings: some, as ``steady``, change what is computed and not the weights."""
    return hashlib.sha256(model.card.network.model_dump_json().encode()).hexdigest()[:8]


def expected_metadata(model: ReleasedModel, spec: GraphSpec) -> dict[str, str]:
    """What an exported file says of itself, and what is checked before it runs."""
    drawn = {"vidpred.samples": str(spec.samples)} if model.card.network.noise_channels else {}
    return drawn | {
        "vidpred.version": str(EXPORT_VERSION),
        "vidpred.model": model.id,
        "vidpred.weights_sha256": model.card.weights_sha256,
        "vidpred.network": network_digest(model),
        "vidpred.kind": spec.kind,
        "vidpred.steps": str(spec.steps),
        "vidpred.batch": str(spec.batch),
        "vidpred.precision": spec.precision,
    }


def exported_file(model: ReleasedModel, spec: GraphSpec, progress: Progress | None = None) -> Path:
    """The exported file, made now if it is not there. Raises EngineError when it cannot be made."""
    _ = model.verified_weights  # a model that changed under its exported file must not run
    path = cached_file(model, spec)
    if path.is_file():
        return path
    options = ["--kind", spec.kind, "--steps", str(spec.steps), "--samples", str(spec.samples), "--batch", str(spec.batch)]
    options += ["--precision", spec.precision, "--size", "{}x{}".format(*model.card.size)]
    if importlib.util.find_spec("torch") is None:
        raise EngineError(
            f"{path} is not there and torch, which makes it, is not installed: run `python -m vidpred_ros.engines.export {model.id} "
            f"{' '.join(options)} --out {path.name}` where torch is (`vidpred build --help` tells how "
            "to make all that a node opens), and copy the file here"
        )
    what = f"exporting {model.id} ({spec.kind}, K={spec.steps}, {spec.precision})"
    if progress is not None:
        progress(what, None)
    else:
        log.info("%s to %s: some seconds, once", what, path)
    export_apart(model, spec, options, path)
    return path


def export_apart(model: ReleasedModel, spec: GraphSpec, options: list[str], path: Path) -> None:
    """Export by a process of its own, so that this one never imports torch; ``options`` are what it is told of ``spec``. Raises
    EngineError when it fails."""
    command = [sys.executable, "-m", "vidpred_ros.engines.export", str(model.folder), *options, "--out", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=EXPORT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise EngineError(f"exporting {model.id} took more than {EXPORT_TIMEOUT_S} s: `{' '.join(command)}`") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise EngineError(f"exporting {model.id} failed: {said.removeprefix('error: ')}")


def open_file(name: str, path: Path, precision: str | None = None) -> Engine:
    """Run an exported file on an ONNX engine. Raises EngineError for a file that is missing, damaged or not ours."""
    if name == "openvino":
        from vidpred_ros.engines.openvino_engine import OpenvinoEngine

        return OpenvinoEngine(path, precision or ("bf16" if bf16_is_native() else "fp32"))
    from vidpred_ros.engines.onnxruntime_engine import OnnxruntimeEngine

    return OnnxruntimeEngine(path, precision or "fp32")


def open_engine(
    model: ReleasedModel,
    name: EngineLike = None,
    kind: str = "stream",
    steps: int = 1,
    precision: str | None = None,
    samples: int = 1,
    batch: int | Callable[[str], int] = 1,
    progress: Progress | None = None,
) -> Engine:
    """The engine of that name for one graph of a model; None: the best that works here, the others being passed over with a
    warning (``choice.py``).

    ``precision``: one of ``choice.PRECISIONS``; None takes fp16 on TensorRT and on torch with a GPU, bf16 on OpenVINO where the
    processor has it, else fp32. ``samples``: how many futures a stochastic network draws at a time; ``batch``: how many
    cameras a hierarchical one sees at a time, or how many on the engine of a name. ``progress`` is told of what takes long.
    Raises EngineError, and ModelError for a graph that the model does not have.
    """
    choice = as_choice(name, precision, progress)

    def open_one(engine: str) -> Engine:
        check_precision(engine, choice.precision)
        at_once = batch if isinstance(batch, int) else batch(engine)
        return _open(model, engine, GraphSpec(kind, steps, samples, at_once), choice)

    if choice.name is not None:
        engine = open_one(choose(choice.name))
    else:
        engine = first_that_opens(candidates(choice.precision), f"{model.id} ({kind})", open_one)
    if choice.opened is not None:
        choice.opened(engine)
    return engine


def _open(model: ReleasedModel, name: str, spec: GraphSpec, choice: EngineChoice) -> Engine:
    if name == "torch":
        import torch

        from vidpred_ros.engines.torch_engine import TorchEngine

        on_purpose = choice.name == "torch" and choice.precision == "fp32"  # on the CPU then
        if torch_on_gpu() and not torch.cuda.is_available() and not on_purpose:
            raise EngineError(
                f"torch does not reach the GPU: it is built for CUDA {torch.version.cuda}, and the driver runs CUDA {find_gpu().cuda} and older; "
                "install a torch for that or a newer driver, or name torch with precision fp32, which runs on the CPU"
            )
        return TorchEngine(model, spec, choice.precision)
    spec = replace(spec, precision=file_precision(name, choice.precision))
    if name in GPU_ENGINES:
        from vidpred_ros.engines.tensorrt_build import find_library
        from vidpred_ros.engines.tensorrt_engine import open_tensorrt

        find_gpu()
        find_library(name)  # before a file is exported that nothing here would run
    path = exported_file(model, spec, choice.progress)
    if name in GPU_ENGINES:
        engine: Engine = open_tensorrt(path, name, spec.precision, choice.progress)
    else:
        engine = open_file(name, path, choice.precision)
    expected = expected_metadata(model, spec)
    wrong = [key for key, value in expected.items() if engine.metadata.get(key) != value]
    if wrong:
        engine.close()
        raise EngineError(f"{path} is the export of something else ({', '.join(wrong)} differ); delete it and start again")
    if REFUSED in engine.metadata and not choice.refused:
        engine.close()
        raise EngineError(
            f"its engine is too far from float32: {engine.metadata[REFUSED]}; take another precision, or build and check it again "
            f"(vidpred build {model.id} --engine {name} --kind {spec.kind}, with the node's --steps, --samples and --batch)"
        )
    return engine
