"""Frames that a pixel generator paints on label maps, the forecast's and the baselines', against the frames that came
(Lee 2021, tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.evaluation.filmstrip import StripRow, score_caption
from vidpred_ros.evaluation.label_trials import LabelTrial
from vidpred_ros.evaluation.perceptual import BY_HORIZON, Perceptual
from vidpred_ros.evaluation.scores import METRICS, Score, horizons, score_trial
from vidpred_ros.evaluation.trials import Trial
from vidpred_ros.metrics import DEFINITIONS, FrameMetrics
from vidpred_ros.metrics.moving import MovingAreas
from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.preprocess import crop_and_resize

#: The newest frame as it is, for every step: what painting has to be better than.
LAST_FRAME = "last_frame"


class Painted:
    """Paints frames on the label maps of each trial and scores them. ``perceptual``: by CSIM, FVD and Inception Score too.

    A roll begins with the true frames of the window and the label maps that the predictor saw of them; from there on it sees
    what it painted itself, and a method's label maps.
    """

    def __init__(self, roll: PixelRoll, perceptual: bool) -> None:
        self._roll = roll
        self._metrics, self._areas = FrameMetrics(), MovingAreas()
        self._perceptual = Perceptual() if perceptual else None
        self._scores: list[Score] = []

    def add(self, trial: LabelTrial, maps: Mapping[str, NDArray[np.uint8]]) -> None:
        """Look at one trial; ``maps`` are the KxHxW label maps of each method."""
        past, truth = (self._resized(frames) for frames in (trial.window.frames, trial.frames))
        frames = {name: self.paint(trial, labels) for name, labels in maps.items()}
        frames[LAST_FRAME] = np.repeat(past[-1:], len(truth), axis=0)
        window = replace(trial.window, frames=tuple(past))
        seen = Trial(trial.index, window, trial.forecast, truth, None, trial.phase)
        self._scores += score_trial(seen, frames, self._metrics, self._areas(past[-1], truth))
        if self._perceptual is not None:
            self._perceptual.add(seen, frames)

    def paint(self, trial: LabelTrial, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frames KxHxWx3 of a trial's future on the label maps KxHxW."""
        self._roll.start([*self._resized(trial.window.frames)], trial.labels)
        return np.stack([*self._roll.roll(labels)])

    def row(self, trial: LabelTrial, labels: NDArray[np.uint8]) -> StripRow:
        """A row of a filmstrip: the predictor's frames with their scores."""
        mine = [one for one in self._scores if (one.window, one.method) == (trial.index, "predictor")]
        captions = [score_caption(one) for one in mine]
        return StripRow("painted on\nthe forecast", [*self.paint(trial, labels)], captions, self._roll.model_id)

    def content(self, period_s: float) -> dict[str, Any]:
        """What metrics.json has of it: ``horizons`` as those of frames, with the methods of the label maps and LAST_FRAME;
        ``means`` over all steps of each method; with ``perceptual`` also ``videos`` (see ``Perceptual.fill``)."""
        results: dict[str, Any] = {
            "model": self._roll.model_id,
            "engine": self._roll.engine,
            "weights_sha256": self._roll.weights_sha256,
            "size": list(self._roll.size),
            "windows": len({one.window for one in self._scores}),
            "horizons": horizons(self._scores, period_s, self._metrics.reasons),
            "protocol": {"metrics": DEFINITIONS},
        }
        if self._perceptual is not None:
            self._perceptual.fill(results)
        results["means"] = _means(results["horizons"], (*METRICS, *BY_HORIZON) if self._perceptual else METRICS)
        return results

    def _resized(self, frames: tuple[NDArray[np.uint8], ...]) -> NDArray[np.uint8]:
        return np.stack([crop_and_resize(frame, self._roll.size) for frame in frames])


def _means(table: list[dict[str, Any]], metrics: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """Of each method and metric over the steps; None where a step has none."""
    means: dict[str, dict[str, float | None]] = {}
    for name in table[0]["methods"]:
        means[name] = {}
        for metric in metrics:
            values = [horizon["methods"][name][metric] for horizon in table]
            means[name][metric] = None if None in values else float(np.mean(values))
    return means
