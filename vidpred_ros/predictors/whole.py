"""Predictors that look at a whole window at once and need no flow: of the multi-scale and the stochastic networks."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Engine
from vidpred_ros.engines.choice import EngineChoice, EngineLike
from vidpred_ros.errors import ConfigError
from vidpred_ros.forecast import Forecast, horizons_from_frames
from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors.base import check_steps
from vidpred_ros.window import Window

#: Futures that one pass of ``Stochastic.sample`` draws. An engine's shapes are fixed: with a batch of its own for each
#: count, every count would cost an export, and the memory of a hundred futures at once.
SAMPLES = 10


class WholeWindow:
    """K future frames from a released model. Raises ModelError, EngineError or ConfigError when it cannot be set up.

    ``latency_ms`` of a forecast: ``infer`` (the engine).
    """

    def __init__(self, model: ReleasedModel, engine: EngineLike, steps: int) -> None:
        card = model.card
        check_steps(card, steps)
        self.model_id, self.size, self.period_s = card.id, card.size, card.period
        self.window_length: int = card.window
        self.steps, self.weights_sha256 = steps, card.weights_sha256
        self._engine = open_engine(model, engine, "whole", steps)
        self.engine = f"{self._engine.name} {self._engine.precision}"

    def predict(self, window: Window) -> Forecast:
        start = time.perf_counter()
        frames = self._infer(np.stack(window.frames))
        latency = {"infer": (time.perf_counter() - start) * 1e3}
        stamp = window.stamps_ns[-1]
        horizons = horizons_from_frames(frames, stamp, window.period_ns)
        return Forecast(self.model_id, stamp, window.period_ns, horizons, latency)

    def _infer(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """K x H x W x 3 of the frames 8 x H x W x 3."""
        return self._engine.infer({"frames": frames})["futures"]

    def close(self) -> None:
        self._engine.close()


class Stochastic(WholeWindow):
    """A stochastic network. ``predict`` takes the mean of its prior (zero noise): its one forecast, the same each time."""

    def __init__(self, model: ReleasedModel, engine: EngineLike, steps: int) -> None:
        super().__init__(model, engine, steps)
        self._model = model
        self._mean = np.zeros(self._engine.inputs["noise"], np.float32)
        self._sampler: Engine | None = None

    def sample(self, window: Window, count: int, seed: int) -> NDArray[np.uint8]:
        """``count`` futures drawn at random: N x K x H x W x 3 uint8 RGB.

        The noise is that of ``numpy.random.default_rng(seed)``: a seed gives the same futures again, and a smaller count
        the first ones of them. The first call opens an engine that draws ``SAMPLES`` at a time, and so may export it.
        Raises ConfigError for a count below 1.
        """
        if count < 1:
            raise ConfigError(f"{self.model_id} draws 1 sample or more, not {count}")
        if self._sampler is None:
            same = EngineChoice(self._engine.name, self._engine.precision)
            self._sampler = open_engine(self._model, same, "whole", self.steps, samples=SAMPLES)
        random, frames = np.random.default_rng(seed), np.stack(window.frames)
        drawn = []
        for _ in range(0, count, SAMPLES):
            noise = random.standard_normal(self._sampler.inputs["noise"], np.float32)
            drawn.append(self._sampler.infer({"frames": frames, "noise": noise})["futures"])
        return np.concatenate(drawn)[:count]

    def _infer(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._engine.infer({"frames": frames, "noise": self._mean})["futures"][0]

    def close(self) -> None:
        super().close()
        if self._sampler is not None:
            self._sampler.close()
