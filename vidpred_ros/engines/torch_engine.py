"""torch eager: the reference that every other engine is held against. Runs on the GPU when there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, GraphSpec, check_inputs
from vidpred_ros.engines.graph import make_graph
from vidpred_ros.engines.streaming import HostStream
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel


class TorchEngine:
    """The same graph as the exported one, batch norms folded, float32."""

    name = "torch"
    precision = "fp32"

    def __init__(self, model: ReleasedModel, spec: GraphSpec) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._graph: Any = make_graph(model, spec).to(self.device)
        zeros = self._graph.inputs(model.card.size)
        self.inputs = {name: tuple(zero.shape) for name, zero in zeros.items()}
        with torch.inference_mode():
            results = self._run([zero.to(self.device) for zero in zeros.values()])
        self.outputs = {name: tuple(result.shape) for name, result in results.items()}
        ports = [*zeros.items(), *results.items()]
        self.dtypes = {name: torch.empty(0, dtype=tensor.dtype).numpy().dtype for name, tensor in ports}
        self.metadata = self._graph.metadata() | {"vidpred.weights_sha256": model.card.weights_sha256}

    def infer(self, arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
        wrong = check_inputs(self.inputs, self.dtypes, arrays)
        if wrong:
            raise EngineError(f"torch: {wrong}")
        with torch.inference_mode():
            tensors = [torch.from_numpy(np.ascontiguousarray(arrays[name])).to(self.device) for name in self.inputs]
            results = {name: result.cpu().numpy() for name, result in self._run(tensors).items()}
        for name, array in (into or {}).items():
            np.copyto(array, results[name])
            results[name] = array
        return results

    def stream(self) -> HostStream:
        return HostStream(self)

    def _run(self, tensors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        results = self._graph(*tensors)
        return dict(zip(self._graph.outputs(), results if isinstance(results, tuple) else (results,), strict=True))

    def close(self) -> None:
        self._graph = None
