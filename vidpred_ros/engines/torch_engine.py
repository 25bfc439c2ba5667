"""torch: on the CPU eager and in float32, with two-dimensional convolutions by oneDNN (``torch_cpu.py``), the reference that every
other engine is held against, in `vidpred bench` too; on a GPU, where there is one, in half precision and as a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.conv import _ConvNd

from vidpred_ros.engines import expected_metadata
from vidpred_ros.engines.base import Arrays, GraphSpec, check_inputs
from vidpred_ros.engines.graph import make_graph
from vidpred_ros.engines.streaming import HostStream
from vidpred_ros.engines.torch_cpu import by_onednn
from vidpred_ros.engines.torch_cuda import RecordedPass
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel

log = logging.getLogger(__name__)
HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


class TorchEngine:
    """The same graph as the exported one, batch norms folded. ``precision`` None: fp16 on a GPU, else fp32; a half one by autocast,
    with float32 at the ports. ``on_gpu`` False: on the CPU though there is a GPU."""

    name = "torch"

    def __init__(self, model: ReleasedModel, spec: GraphSpec, precision: str | None = None, on_gpu: bool = True) -> None:
        on_gpu = on_gpu and torch.cuda.is_available()
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self.precision = precision or ("fp16" if on_gpu else "fp32")
        graph = make_graph(model, spec)
        # its ports, while it is what it was made as: some graphs run their network to know them
        zeros, self._results, metadata = graph.inputs(model.card.size), graph.outputs(), graph.metadata()
        self._graph: Any = graph.to(self.device)
        if self.precision in HALF:  # once: autocast keeps no cast of weights that need no gradient
            for layer in self._graph.modules():
                if isinstance(layer, _ConvNd):
                    layer.to(HALF[self.precision])
        elif not on_gpu:
            by_onednn(self._graph)
        self.inputs = {name: tuple(zero.shape) for name, zero in zeros.items()}
        with torch.inference_mode():
            results = self._run([zero.to(self.device) for zero in zeros.values()])
            self._recorded = self._record(zeros) if on_gpu else None
        self.captured = self._recorded is not None  # as a CUDA graph
        self.outputs = {name: tuple(result.shape) for name, result in results.items()}
        ports = [*zeros.items(), *results.items()]
        self.dtypes = {name: torch.empty(0, dtype=tensor.dtype).numpy().dtype for name, tensor in ports}
        self.metadata = metadata | expected_metadata(model, spec)

    def infer(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        wrong = "it is closed" if self._graph is None else check_inputs(self.inputs, self.dtypes, arrays)
        if wrong:
            raise EngineError(f"torch: {wrong}")
        with torch.inference_mode():
            results = self._eager(arrays) if self._recorded is None else self._recorded(arrays)
        for name, array in (into or {}).items():
            np.copyto(array, results[name])
            results[name] = array
        return results

    def stream(self) -> HostStream:
        return HostStream(self)

    def _record(self, zeros: Mapping[str, torch.Tensor]) -> RecordedPass | None:
        """The pass as a CUDA graph; None, with a warning, for one that cannot be recorded and runs eagerly."""
        try:
            return RecordedPass(self._run, zeros)
        except RuntimeError as error:
            log.warning("torch runs %s without a CUDA graph, which is slower: %s", type(self._graph).__name__, error)
            return None

    def _eager(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        tensors = [torch.from_numpy(np.ascontiguousarray(arrays[name])).to(self.device) for name in self.inputs]
        return {name: result.cpu().numpy() for name, result in self._run(tensors).items()}

    def _run(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        with computing_in(self.precision, self.device.type):
            results = self._graph(*tensors)
        outputs = dict(zip(self._results, results if isinstance(results, tuple) else (results,), strict=True))
        return {name: output.float() if output.is_floating_point() else output for name, output in outputs.items()}

    def close(self) -> None:
        self._graph = self._recorded = None


def computing_in(precision: str, device: str) -> AbstractContextManager[Any]:
    """Float32 on a GPU is no TF32, which cuDNN takes by default."""
    if precision in HALF:
        return torch.autocast(device, HALF[precision])
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if device == "cuda" else nullcontext()
