"""An engine runs one exported network: arrays in, arrays out, by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.networks.config import FRAME_KINDS, NetworkConfig

Arrays = dict[str, NDArray[Any]]
#: Modules that must be importable for each engine, best engine for a CPU first.
ENGINES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}
#: A new value of this makes every cached export stale.
EXPORT_VERSION = 1


class Engine(Protocol):
    """One network on one runtime. Names, shapes and dtypes are those of the exported file.

    ``frames`` (T x H x W x 3 uint8 RGB; T = 8, or 2 for a stream) and, with a motion prior, ``flows`` (T x H x W x 2
    float32, pixels) go in, together with a streaming network's states; ``futures`` (K x H x W x 3 float32 in [0, 1]) and
    the new states come out. A stochastic network takes ``noise`` (N x K x Z float32, standard normal) and gives
    ``futures`` N x K x H x W x 3. The networks of label maps have ports of their own (``label_graphs.py``); label maps are
    uint8.
    """

    name: str
    precision: str  # "fp32" or "bf16"
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    metadata: dict[str, str]  # what the exported file says of itself

    def infer(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run once. Raises EngineError for a missing, extra or ill-shaped input."""
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
    """Engines whose runtime can be imported, best first."""
    return [name for name, module in ENGINES.items() if importlib.util.find_spec(module) is not None]


def cache_folder() -> Path:
    """Where exported networks are kept; VIDPRED_CACHE moves it."""
    return Path(os.environ.get("VIDPRED_CACHE", Path.home() / ".cache" / "vidpred_ros")) / "engines"


def check_inputs(wanted: Mapping[str, tuple[int, ...]], arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """What is wrong with the inputs of a call, in words, or None."""
    if wanted.keys() != arrays.keys():
        return f"inputs {sorted(arrays)} given, {sorted(wanted)} expected"
    wrong = [f"{name} is {arrays[name].shape}, not {shape}" for name, shape in wanted.items() if arrays[name].shape != shape]
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
