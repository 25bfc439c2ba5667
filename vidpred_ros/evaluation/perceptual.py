"""CSIM, FVD and Inception Score of predicted frames (Lee 2021, section 4.1 and appendix A): many times slower than the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.trials import Trial
from vidpred_ros.metrics.csim import CSIM_DEFINITION, Csim, cosine
from vidpred_ros.metrics.frechet import MIN_SAMPLES, frechet_distance
from vidpred_ros.metrics.fvd import FVD_DEFINITION, ClipFeatures
from vidpred_ros.metrics.i3d import MIN_FRAMES, I3d
from vidpred_ros.metrics.inception import INCEPTION_DEFINITION, Classifier, inception_score, load_classifier

PERCEPTUAL_DEFINITIONS = {"csim": CSIM_DEFINITION, "inception_score": INCEPTION_DEFINITION, "fvd": FVD_DEFINITION}
#: Of these, the metrics that every horizon has; FVD is of whole clips.
BY_HORIZON = ("csim", "inception_score")
TRUTH = "truth"

Network = TypeVar("Network")


class Perceptual:
    """Collects features of every trial. What this machine cannot compute is null, and ``reasons`` says why.

    A network may be given in place of the real one.
    """

    def __init__(
        self, csim: Csim | None = None, i3d: ClipFeatures | None = None, classifier: Classifier | None = None
    ) -> None:
        self.reasons: dict[str, str] = {}
        self._csim = csim or self._load("csim", Csim)
        self._i3d = i3d or self._load("fvd", I3d)
        self._classifier = classifier or self._load("inception_score", load_classifier)
        self._similar: dict[tuple[str, int], list[float]] = defaultdict(list)  # by method and step
        self._classes: dict[tuple[str, int], list[NDArray[np.float32]]] = defaultdict(list)
        self._clips: dict[str, list[NDArray[np.float32]]] = defaultdict(list)  # by method, a vector for each window

    def _load(self, metric: str, make: Callable[[], Network]) -> Network | None:
        try:
            return make()
        except VidpredError as error:
            self.reasons[metric] = str(error)
            return None

    def add(self, trial: Trial, frames: Mapping[str, NDArray[np.uint8]]) -> None:
        """Look at one trial; ``frames`` are KxHxWx3 of each method."""
        everything = {TRUTH: trial.truth, **frames}
        if self._csim is not None:
            features = {name: self._csim.features(clip) for name, clip in everything.items()}
            for name in frames:
                for step, value in enumerate(cosine(features[name], features[TRUTH]), start=1):
                    self._similar[name, step].append(float(value))
        if self._classifier is not None:
            for name, clip in everything.items():
                for step, probabilities in enumerate(self._classifier(clip), start=1):
                    self._classes[name, step].append(probabilities)
        if len(trial.truth) < MIN_FRAMES:
            self.reasons.setdefault("fvd", f"I3D sees clips of {MIN_FRAMES} frames or more: say --steps {MIN_FRAMES}")
        elif self._i3d is not None:
            for name, clip in everything.items():
                self._clips[name].append(self._i3d(clip[None])[0])

    def fill(self, results: dict[str, Any]) -> None:
        """Put the metrics of BY_HORIZON into every method of every horizon of metrics.json, and ``videos`` beside them."""
        for horizon in results["horizons"]:
            step = horizon["step"]
            for name, method in horizon["methods"].items():
                values = self._similar.get((name, step))
                self._put(method, "csim", float(np.mean(values)) if values else None)
                seen = self._classes.get((name, step))
                self._put(method, "inception_score", inception_score(np.stack(seen)) if seen else None)
        steps = sorted({step for _, step in self._classes})
        results["videos"] = {
            "inception_score_of_the_truth": [inception_score(np.stack(self._classes[TRUTH, step])) for step in steps] or None,
            "methods": {name: self._video(name) for name in results["horizons"][0]["methods"]},
        }
        results["protocol"]["metrics"] = {**results["protocol"]["metrics"], **PERCEPTUAL_DEFINITIONS}

    def _video(self, name: str) -> dict[str, Any]:
        """FVD of one method."""
        mine, truth = self._clips.get(name, []), self._clips.get(TRUTH, [])
        found: dict[str, Any] = {}
        if mine and len(truth) < MIN_SAMPLES:
            self.reasons.setdefault("fvd", "a Frechet distance needs two windows or more")
        elif mine:
            return {"fvd": frechet_distance(np.stack(mine), np.stack(truth)), "clips": len(mine)}
        self._put(found, "fvd", None)
        return found

    def _put(self, method: dict[str, Any], metric: str, value: float | None) -> None:
        method[metric] = value
        if value is None:
            method[f"{metric}_reason"] = self.reasons.get(metric, "it makes no frames")
