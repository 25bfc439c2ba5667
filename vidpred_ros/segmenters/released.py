"""A released segmenter, on any engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.models import ReleasedModel


class Released:
    """A segmenter from a model folder. Raises ModelError or EngineError when it cannot be set up."""

    def __init__(self, model: ReleasedModel, engine: EngineLike) -> None:
        self.name, self.size = model.id, model.card.size
        self.weights_sha256 = model.card.weights_sha256
        self._engine = open_engine(model, engine, "segment", 1)
        self.engine = f"{self._engine.name} {self._engine.precision}"

    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """HxWx3 uint8 RGB of ``size`` to HxW uint8 train ids. Raises EngineError for a frame of another size."""
        labels: NDArray[np.uint8] = self._engine.infer({"frames": frame[None]})["labels"]
        return labels

    def close(self) -> None:
        self._engine.close()
