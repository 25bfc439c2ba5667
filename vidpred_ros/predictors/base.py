"""What every predictor offers: windows in, Forecasts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError
from vidpred_ros.forecast import Forecast
from vidpred_ros.models import ModelCard
from vidpred_ros.window import Window


class Predictor(Protocol):
    """A predictor of future frames. Frames of a window have the predictor's ``size`` already."""

    model_id: str
    engine: str  # engine and precision ("openvino bf16"), or "none" for a predictor without a network
    size: tuple[int, int]  # (height, width) of input and output frames
    period_s: float  # spacing of the frames that the model was made for
    window_length: int
    steps: int  # K: the number of horizons of each forecast

    def predict(self, window: Window) -> Forecast:
        """Forecast K frames after the newest frame of ``window``.

        A predictor that streams keeps state from one window to the next; ``window.epoch`` and ``window.sequence`` tell
        it which frames are new, so windows may be skipped without harm.
        """
        ...

    def close(self) -> None:
        """Free the engine. The predictor is of no use afterwards."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A predictor that keeps something of each frame, and so gains from frames that come before there is a full window."""

    def follow(self, window: Window) -> None:
        """Take in a window that is not full yet: what is done now the first forecast need not do."""
        ...


class LabelPredictor(Protocol):
    """A predictor of future label maps. Frames of a window have the segmenter's ``size``, label maps ``label_size``."""

    model_id: str
    engine: str
    size: tuple[int, int]
    label_size: tuple[int, int]
    period_s: float
    window_length: int
    steps: int
    needs_frames: bool  # whether it looks at frames where label maps are handed in

    def predict(self, window: Window, labels: Sequence[NDArray[np.uint8]] | None = None) -> Forecast:
        """Forecast K label maps. ``labels``, train ids of any size, one map for each frame, stand in for the segmenter."""
        ...

    def close(self) -> None:
        """Free the engine."""
        ...


def check_steps(card: ModelCard, steps: int) -> None:
    """Raise ConfigError when a released model does not offer that many futures."""
    if not 1 <= steps <= card.network.max_steps:
        raise ConfigError(f"model {card.id} predicts 1 to {card.network.max_steps} steps, not {steps}")
