"""Export a released network to ONNX and refuse a file that computes something else.

`vidpred export` calls it. It is also a process of its own (`python -m vidpred_ros.engines.export`) when an engine needs a
file that is not in the cache, so that the process that predicts never imports torch. The file's metadata names the
model, its weights, the graph, steps and samples; engines check them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from vidpred_ros.engines import expected_metadata, open_file
from vidpred_ros.engines.base import EIGHT_BITS, PRECISIONS, GraphSpec, installed_engines
from vidpred_ros.engines.graph import Graph, make_graph, probe_inputs
from vidpred_ros.engines.precision import retype
from vidpred_ros.errors import EngineError, VidpredError
from vidpred_ros.models import ReleasedModel, find_model

#: Largest difference of any output from torch, in float32 on the same inputs.
PARITY = 1e-3
#: Outputs that are pictures, in bytes.
PICTURES = ("futures", "frame")
#: Largest share of a map's pixels that may differ: where two classes tie, a rounding error decides, and later steps see it.
#: A graph that computes something else differs in most of them.
TIES = 1e-2


def export(model: ReleasedModel, spec: GraphSpec, path: Path) -> dict[str, float]:
    """Write the ONNX file of a graph and return its largest difference from torch on each installed runtime, in float32:
    what another precision costs is for `vidpred build` to say, on real windows.

    Raises ModelError for int8 of a model that has no ranges for it; EngineError, and leaves no file, when a runtime's outputs
    differ by more than ``PARITY``.
    """
    graph = make_graph(model, spec)
    inputs = tuple(probe_inputs(graph, model.card.size))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part.onnx")  # two nodes that start at once do not write into one file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(
                graph,
                inputs,
                str(part),
                input_names=list(graph.inputs(model.card.size)),
                output_names=graph.outputs(),
                dynamo=True,
                optimize=True,
                external_data=False,
                verbose=False,
            )
        proto = onnx.load(part)
        onnx.helper.set_model_props(proto, expected_metadata(model, spec) | graph.metadata())
        onnx.save(proto, part)
        differences = parity(graph, inputs, part, model.card.size)
        if spec.precision != "fp32":
            ranges = model.int8.ranges if spec.precision in EIGHT_BITS else None
            onnx.save(retype(proto, spec.precision, ranges), part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return differences


def parity(graph: Graph, inputs: tuple[torch.Tensor, ...], path: Path, size: tuple[int, int]) -> dict[str, float]:
    """Largest difference between torch and each installed runtime on the file, in float32. Raises EngineError.

    Of an output that an arg-max decides it is the share of elements that differ.
    """
    with torch.no_grad():
        result = graph(*inputs)
    wanted = dict(zip(graph.outputs(), result if isinstance(result, tuple) else (result,), strict=True))
    arrays = {name: tensor.numpy() for name, tensor in zip(graph.inputs(size), inputs, strict=True)}
    differences: dict[str, float] = {}
    for name in installed_engines():
        if name == "torch":
            continue
        engine = open_file(name, path, precision="fp32")
        got = engine.infer(arrays)
        engine.close()
        for output, tensor in wanted.items():
            difference, limit = _difference(output, got[output], tensor.numpy(), graph.discrete)
            if not difference <= limit:
                raise EngineError(
                    f"the exported graph on {name} differs from torch by {difference:.2g} in {output} (limit {limit:g}); "
                    "the file was not kept. Report this with the versions of torch and of the runtime"
                )
            differences[name] = max(differences.get(name, 0.0), difference)
    return differences


def _difference(output: str, got: NDArray[Any], wanted: NDArray[Any], discrete: bool) -> tuple[float, float]:
    """How much an output differs, and the limit: in its own unit; of a picture, where a byte is off by no more than one,
    the mean, which is what the floats before the rounding differ by; of what an arg-max decides, the share that differs."""
    if not wanted.size:
        return 0.0, PARITY
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return float("inf"), PARITY
    apart = np.abs(got.astype(np.float32) - wanted)
    if output in PICTURES and not discrete:
        return float(apart.mean() if apart.max() <= 1 else apart.max()) / 255, PARITY
    if discrete or wanted.dtype == np.uint8:
        return float((~(apart <= PARITY)).mean()), TIES
    return float(apart.max()), PARITY


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Export a released model to ONNX, checked against torch.")
    parser.add_argument("model", help="a released model's name or folder")
    parser.add_argument("--kind", default="stream", help="one of the model's graphs")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--samples", type=int, default=1, help="futures that a stochastic model draws at a time")
    parser.add_argument("--batch", type=int, default=1, help="cameras at a time")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--size", help="HEIGHTxWIDTH of the frames; default: the model's own")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        model = find_model(options.model)
        if options.size is not None:
            height, width = map(int, options.size.split("x"))
            model = model.at((height, width))
        spec = GraphSpec(options.kind, options.steps, options.samples, options.batch, options.precision)
        export(model, spec, options.out)
    except VidpredError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
