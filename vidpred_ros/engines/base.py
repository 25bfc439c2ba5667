"""An engine runs one exported network: arrays in, arrays out, by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.networks.config import FRAME_KINDS, NetworkConfig

if TYPE_CHECKING:
    from vidpred_ros.engines.streaming import Stream

Arrays = dict[str, NDArray[Any]]
#: Modules that must be importable for each engine, best engine for a CPU first.
ENGINES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}
#: A new value of this makes every cached export stale.
EXPORT_VERSION = 3
#: Of an exported file.
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "uint8", "fp8")
#: Those in which convolutions take bytes, by ranges that were measured.
EIGHT_BITS = ("int8", "uint8", "fp8")
#: Told what is being done and, where it is known, how much of it is done (0 to 1).
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class GraphSpec:
    """Which graph of a model: what one exported file holds.

    ``samples`` counts for stochastic networks, ``batch`` (cameras at a time) for hierarchical ones. ``precision`` is the
    file's own: "fp32"; "fp16" or "bf16", a graph with its types written in, for TensorRT; "int8", with Q/DQ, for TensorRT;
    "uint8", the same for CPUs, where what cannot be negative is unsigned: finer, and 1.15 times as fast; "fp8", for TensorRT.
    """

    kind: str = "stream"
    steps: int = 1
    samples: int = 1
    batch: int = 1
    precision: str = "fp32"


class Engine(Protocol):
    """One network on one runtime. Names, shapes and dtypes are those of the exported file.

    ``frames`` (T x H x W x 3 uint8 RGB) and, with a motion prior, ``flows`` (T x H x W x 2 float32, pixels) go in, together with
    a streaming network's states; T = 8, of a stream 2, or 4 flows if its network is ``steady``. ``futures`` (K x H x W x 3 uint8)
    and the new states come out. A stochastic network takes ``noise`` (N x K x Z float32, standard normal) and gives
    ``futures`` N x K x H x W x 3. The networks of label maps have ports of their own (``label_graphs.py``); label maps are
    uint8.
    """

    name: str
    precision: str  # "fp32", "bf16", "fp16", "int8" or "fp8"
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype[Any]]  # of inputs and outputs
    metadata: dict[str, str]  # what the exported file says of itself

    def infer(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        """Run once; the outputs named in ``into`` are written there. Raises EngineError for a missing, extra or ill-shaped
        input."""
        ...

    def stream(self) -> Stream:
        """A stream of frames, with no frame so far; of kind "stream" only."""
        ...

    def close(self) -> None:
        """Free the runtime's memory; the engine is of no use afterwards. A second call does nothing."""
        ...


def graphs_of(config: NetworkConfig) -> tuple[str, ...]:
    """The graphs that a network can be exported as: ``open_engine(kind=...)``."""
    if config.kind == "structure":
        return ("whole", "step") if config.space == "rgb" else ("structure", "encode", "forecast", "step")
    if config.kind == "hierarchical" and config.head == "warp" and config.rollout == "direct":
        return ("whole", "stream", "motion") if config.streams else ("whole", "motion")
    if config.kind in FRAME_KINDS:
        return ("whole", "stream") if config.streams else ("whole",)
    return {"segmenter": ("segment",), "s2s": ("structure",), "edges": ("edges",), "pixels": ("pixels",)}[config.kind]


def installed_engines() -> list[str]:
    """Engines that need no GPU and whose runtime can be imported, best first."""
    return [name for name, module in ENGINES.items() if importlib.util.find_spec(module) is not None]


def cache_folder() -> Path:
    """Where exported networks are kept; VIDPRED_CACHE moves it."""
    return Path(os.environ.get("VIDPRED_CACHE", Path.home() / ".cache" / "vidpred_ros")) / "engines"


def check_inputs(
    shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, np.dtype[Any]], arrays: Mapping[str, NDArray[Any]]
) -> str | None:
    """What is wrong with the inputs of a call, in words, or None."""
    if shapes.keys() != arrays.keys():
        return f"inputs {sorted(arrays)} given, {sorted(shapes)} expected"
    wrong = [
        f"{name} is {arrays[name].dtype} {arrays[name].shape}, not {dtypes[name]} {shape}"
        for name, shape in shapes.items()
        if arrays[name].shape != shape or arrays[name].dtype != dtypes[name]
    ]
    return "; ".join(wrong) or None


def bf16_is_native() -> bool:
    """Whether this processor multiplies bfloat16 (avx512_bf16 or AMX); without that bf16 is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def as_numpy(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays, copied where they are not C-contiguous: every runtime wants plain ones."""
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
