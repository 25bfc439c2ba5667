"""What every predictor offers: windows in, Forecasts out."""

from __future__ import annotations

from typing import Protocol

from vidpred_ros.forecast import Forecast
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
