"""The structure generator (Lee 2021) on an inference engine: frames, or label maps of another node, in; label futures out.

A stream of frames costs one pass of everything for each new frame: it is segmented, its flow is measured and its label map is
encoded once, and what is kept of the frames before it is their codes. All futures are drawn in one batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Arrays, Engine
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.forecast import Forecast, Horizon
from vidpred_ros.models import ReleasedModel, find_model
from vidpred_ros.motion import move_labels
from vidpred_ros.networks.config import STRUCTURE_KINDS
from vidpred_ros.predictors.base import check_steps
from vidpred_ros.predictors.foretold_motion import ForetoldMotion
from vidpred_ros.predictors.label_baselines import LABEL_BASELINES, LABEL_SIZE
from vidpred_ros.predictors.label_history import LabelHistory, Labels, Past
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.semantics import CLASS_NAMES, OCCUPANTS
from vidpred_ros.window import Window


class Structure:
    """K label futures from a released model. Raises ModelError, EngineError or ConfigError when it cannot be set up.

    ``segmenter`` None: label maps are handed in with every window. ``samples`` futures are drawn from the prior for each
    window, the same ones for the same ``seed`` and window; 1 is not drawn but the prior's mean. ``stream`` False runs the
    whole window at a time, for comparison; S2S has no other way. Latency by stage: ``segment``, ``motion``, ``encode``,
    ``forecast``.
    """

    def __init__(
        self,
        model: ReleasedModel,
        segmenter: Segmenter | None,
        engine: EngineLike,
        steps: int,
        samples: int = 8,
        seed: int = 0,
        stream: bool = True,
    ) -> None:
        card, config = model.card, model.card.network
        check_label_model(model)
        check_steps(card, steps)
        check_samples(model, samples)
        assert config.kind == "structure" or config.kind == "s2s"
        self.model_id, self.label_size, self.period_s = card.id, card.size, card.period
        self.size = segmenter.size if segmenter else card.size
        self.steps, self.seed, self.weights_sha256 = steps, seed, card.weights_sha256
        self.context: int = config.context
        self.samples = samples if config.noise_channels else 1
        self.needs_frames = config.needs_flows
        self._foretold: ForetoldMotion | None = None
        self.window_length = self.context
        self._encoder: Engine | None = None
        with ExitStack() as opened:  # where one cannot be opened, those before it are closed
            if config.kind == "structure" and config.motion_model is not None:
                self._foretold = ForetoldMotion(config.motion_model, self.label_size, steps, engine)
                opened.callback(self._foretold.close)
            if stream and config.kind == "structure":
                self._encoder = open_engine(model, engine, "encode", 1)
                opened.callback(self._encoder.close)
            kind = "structure" if self._encoder is None else "forecast"
            self._engine = open_engine(model, engine, kind, steps, samples=self.samples)
            opened.callback(self._engine.close)
            self._opened = opened.pop_all()
        self.engine = f"{self._engine.name} {self._engine.precision}"
        self.frames_seen = config.frames_seen if config.kind == "structure" else self.context
        self._history = LabelHistory(segmenter, self.label_size, self.context, self.frames_seen, self.needs_frames)
        self._clock: dict[str, float] = {}

    def predict(self, window: Window, labels: Sequence[Labels] | None = None) -> Forecast:
        """Forecast from a window; ``labels``, train ids of any size, one map for each frame, stand in for the segmenter.

        Raises ConfigError for label maps that do not go with the window, and for none where there is no segmenter.
        """
        self._clock = self._history.update(window, labels) | {"encode": 0.0, "forecast": 0.0}
        moved = self._moved()
        inputs = self._whole(moved) if self._encoder is None else self._encoded(moved)
        inputs |= self._noise(window.stamps_ns[-1])
        start = time.perf_counter()
        results = self._engine.infer(inputs)
        self._count("forecast", start)
        return self._forecast(window, results)

    def close(self) -> None:
        """Free the engines; the segmenter belongs to whoever made it."""
        self._opened.close()

    def _moved(self) -> Labels | None:
        """The newest label map, moved 1..K steps on."""
        start = time.perf_counter()
        moved = self._history.moved(self.steps, self._foretold)
        self._count("motion", start)
        return moved

    def _whole(self, moved: Labels | None) -> Arrays:
        context = self._history.context
        maps = [one.labels for one in context]
        inputs: Arrays = {"maps": np.stack(maps)}
        if moved is not None:
            flows = [one.flow for one in context if one.flow is not None]
            guesses = [move_labels(one, flow, 1) for one, flow in zip(maps[:-1], flows[:-1], strict=True)]
            inputs |= {"moved": np.concatenate([np.stack(guesses), moved]), "flows": np.stack(flows)}
        return inputs

    def _encoded(self, moved: Labels | None) -> Arrays:
        """Codes of the context and skips of the newest map; a map is encoded once.

        Where motion is foretold the newest map's guess is not the one that it has later, and so it is encoded twice.
        """
        start = time.perf_counter()
        *past, newest = self._history.context
        codes = [self._code_of(one) for one in past]
        encoding = self._encode(newest.labels, None if moved is None else moved[0], newest.flow)
        code = encoding.pop("code")
        if self._foretold is None:
            newest.code = code
        self._count("encode", start)
        inputs: Arrays = encoding | {"codes": np.concatenate([*codes, code])}
        if moved is not None and newest.flow is not None:
            inputs |= {"moved": moved, "flows": newest.flow[None]}
        return inputs

    def _code_of(self, one: Past) -> NDArray[np.float32]:
        if one.code is None:
            guess = None if one.flow is None else move_labels(one.labels, one.flow, 1)
            one.code = self._encode(one.labels, guess, one.flow)["code"]
        return one.code

    def _encode(self, labels: Labels, guess: Labels | None, flow: NDArray[np.float32] | None) -> Arrays:
        assert self._encoder is not None
        inputs: Arrays = {"maps": labels[None]}
        if guess is not None and flow is not None:
            inputs |= {"moved": guess[None], "flows": flow[None]}
        return self._encoder.infer(inputs)

    def _noise(self, stamp_ns: int) -> Arrays:
        """Of this window: the same for the same stamp and seed."""
        if "noise" not in self._engine.inputs:
            return {}
        shape = self._engine.inputs["noise"]
        if self.samples == 1:
            return {"noise": np.zeros(shape, np.float32)}
        return {"noise": np.random.default_rng((self.seed, stamp_ns % 2**64)).standard_normal(shape, np.float32)}

    def _count(self, stage: str, start: float) -> None:
        self._clock[stage] += (time.perf_counter() - start) * 1e3

    def _forecast(self, window: Window, results: Arrays) -> Forecast:
        stamp, period = window.stamps_ns[-1], window.period_ns
        maps = zip(results["labels"], results["entropy"], results["confidence"], strict=True)
        horizons = tuple(
            Horizon(k, stamp + k * period, labels=labels, entropy=entropy, confidence=confidence)
            for k, (labels, entropy, confidence) in enumerate(maps, start=1)
        )
        occupancy = dict(zip((CLASS_NAMES[c] for c in OCCUPANTS), results["occupancy"], strict=False))
        return Forecast(self.model_id, stamp, period, horizons, dict(self._clock), occupancy, results["samples"])


def find_structure(name: str) -> ReleasedModel:
    """A released model of label maps, by name or folder. Raises ModelError for what is none; a baseline has no model."""
    if name in LABEL_BASELINES:
        raise ModelError(f"{name} is a baseline and no model: `vidpred evaluate SOURCE --structure` scores it beside every structure model")
    model = find_model(name, STRUCTURE_KINDS)
    check_label_model(model)
    return model


def label_size(name: str) -> tuple[int, int]:
    """(height, width) of the label maps that a structure model or a baseline predicts, by name. Raises ModelError for what is neither."""
    return LABEL_SIZE if name in LABEL_BASELINES else find_structure(name).card.size


def check_label_model(model: ReleasedModel) -> None:
    """Raise ModelError for a model that does not predict label maps."""
    config = model.card.network
    if config.kind == "structure" and config.space == "rgb":
        raise ModelError(f"model {model.id} predicts frames, not label maps (space rgb): use it as a frame model")
    if config.kind not in STRUCTURE_KINDS:
        raise ModelError(f"model {model.id} is a {config.kind} network and predicts no label maps: name one of kind structure or s2s")


def check_samples(model: ReleasedModel, samples: int) -> None:
    """Raise ConfigError for no sample."""
    if samples < 1:
        raise ConfigError(f"{model.id} draws 1 sample or more, not {samples}")


def make_structure(
    model: str,
    segmenter: Segmenter | None = None,
    engine: EngineLike = None,
    steps: int = 5,
    samples: int = 8,
    seed: int = 0,
    stream: bool = True,
) -> Structure:
    """A released structure model, by name or folder, on an engine (None: the best on this machine); see ``Structure``."""
    return Structure(find_structure(model), segmenter, engine, steps, samples, seed, stream)
