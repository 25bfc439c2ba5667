"""How fast a model is here: every engine against torch eager and whole against streamed, in one interleaved run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from vidpred_ros.bench.gpu import in_words
from vidpred_ros.bench.interleave import WARM_UP, Run, figures, interleave
from vidpred_ros.engines.choice import candidates
from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.trials import windows
from vidpred_ros.models import find_model
from vidpred_ros.predictors import Predictor, make_predictor
from vidpred_ros.sources import open_source
from vidpred_ros.window import Window

#: What the others are compared with.
REFERENCE = ("torch", "whole")

Case = tuple[str, str]  # engine, "whole" or "streamed"


def measure_engines(
    model: str, steps: int, rounds: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Milliseconds of ``predict`` for each engine that this machine can run, whole and (where the model can) streamed.

    Each round gives every case the same next window of a synthetic drive, in an order that turns from round to round,
    so that a busy or slowing machine hits all of them alike. Returns ``cases`` (a list with engine, mode, precision,
    predict_ms and infer_ms as {median, p99}, and speed relative to torch eager) and ``left_out`` {case: reason}.
    Raises ModelError for an unknown model, EngineError where there is no engine, ConfigError when nothing can be measured.
    """
    card = find_model(model).card
    predictors: dict[Case, Predictor] = {}
    left_out: dict[str, str] = {}
    try:
        for engine in candidates(None):
            for mode in ("whole", "streamed"):
                try:
                    predictors[engine, mode] = make_predictor(model, engine, steps, stream=mode == "streamed")
                except Exception as error:  # noqa: BLE001 - a GPU's libraries raise kinds of their own
                    left_out[f"{engine} {mode}"] = in_words(error)
        if not predictors:
            raise ConfigError(f"no engine can run {card.id}: {left_out}")
        runs = {case: _predict(predictor) for case, predictor in predictors.items()}
        times = interleave(runs, _windows(next(iter(predictors.values())), WARM_UP + rounds), progress)
        return {
            "model": card.id,
            "weights_sha256": card.weights_sha256,
            "size": list(card.size),
            "steps": steps,
            "rounds": rounds,
            "warm_up_rounds": WARM_UP,
            "cases": summarise(times, {case: p.engine for case, p in predictors.items()}, {"infer_ms": "infer"}),
            "left_out": left_out,
        }
    finally:
        for predictor in predictors.values():
            predictor.close()


def _predict(predictor: Predictor) -> Run:
    return lambda window: predictor.predict(window).latency_ms


def _windows(predictor: Predictor, count: int) -> Sequence[Window]:
    """That many consecutive windows of the built-in drive."""
    seconds = (count + predictor.window_length) * predictor.period_s
    drive = open_source(f"synthetic:seed=1,seconds={seconds:.3f},rate={1 / predictor.period_s:g}")
    return list(islice(windows(drive, predictor, predictor.window_length), count))


def summarise(
    times: Mapping[Case, Sequence[Mapping[str, float]]], runtimes: Mapping[Case, str], stages: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Median and p99 of each case's total (predict_ms) and of the ``stages`` {key: stage}, beside torch eager."""
    medians = {case: float(np.median([one["total"] for one in values])) for case, values in times.items()}
    reference = medians.get(REFERENCE)
    return [
        {
            "engine": engine,
            "mode": mode,
            "runtime": runtimes[engine, mode],  # with its precision
            "predict_ms": figures([one["total"] for one in values]),
            **{key: figures([one[stage] for one in values]) for key, stage in stages.items()},
            "times_as_fast_as_torch_whole": reference / medians[engine, mode] if reference else None,
        }
        for (engine, mode), values in times.items()
    ]
