"""How fast a model is here: every engine against torch eager and whole against streamed, in one interleaved run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from vidpred_ros.engines import installed_engines
from vidpred_ros.errors import ConfigError, VidpredError
from vidpred_ros.evaluation.trials import windows
from vidpred_ros.models import find_model
from vidpred_ros.predictors import Predictor, make_predictor
from vidpred_ros.sources import open_source
from vidpred_ros.window import Window

#: Rounds at the start that are run and not counted: allocation, compilation, caches.
WARM_UP = 3
#: What the others are compared with.
REFERENCE = ("torch", "whole")

Case = tuple[str, str]  # engine, "whole" or "streamed"


def measure_engines(
    model: str, steps: int, rounds: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Milliseconds of ``predict`` for each installed engine, whole and (where the model can) streamed.

    Each round gives every case the same next window of a synthetic drive, in an order that turns from round to round,
    so that a busy or slowing machine hits all of them alike. Returns ``cases`` (a list with engine, mode, precision,
    predict_ms and infer_ms as {median, p99}, and speed relative to torch eager) and ``left_out`` {case: reason}.
    Raises ModelError for an unknown model, ConfigError when nothing can be measured.
    """
    card = find_model(model).card
    predictors: dict[Case, Predictor] = {}
    left_out: dict[str, str] = {}
    try:
        for engine in installed_engines():
            for mode in ("whole", "streamed"):
                try:
                    predictors[engine, mode] = make_predictor(model, engine, steps, stream=mode == "streamed")
                except VidpredError as error:
                    left_out[f"{engine} {mode}"] = str(error)
        if not predictors:
            raise ConfigError(f"no engine can run {card.id}: {left_out}")
        times = _interleave(predictors, rounds, progress)
        return {
            "model": card.id,
            "weights_sha256": card.weights_sha256,
            "size": list(card.size),
            "steps": steps,
            "rounds": rounds,
            "warm_up_rounds": WARM_UP,
            "cases": _summarise(predictors, times),
            "left_out": left_out,
        }
    finally:
        for predictor in predictors.values():
            predictor.close()


def _interleave(
    predictors: dict[Case, Predictor], rounds: int, progress: Callable[[int, int], None]
) -> dict[Case, list[tuple[float, float]]]:
    """(predict, infer) milliseconds of each counted round."""
    order = list(predictors)
    times: dict[Case, list[tuple[float, float]]] = {case: [] for case in order}
    for number, window in enumerate(_windows(predictors[order[0]], WARM_UP + rounds)):
        for case in order[number % len(order) :] + order[: number % len(order)]:
            start = time.perf_counter()
            forecast = predictors[case].predict(window)
            elapsed = (time.perf_counter() - start) * 1e3
            if number >= WARM_UP:
                times[case].append((elapsed, forecast.latency_ms["infer"]))
        progress(number + 1, WARM_UP + rounds)
    return times


def _windows(predictor: Predictor, count: int) -> Sequence[Window]:
    """That many consecutive windows of the built-in drive."""
    seconds = (count + predictor.window_length) * predictor.period_s
    drive = open_source(f"synthetic:seed=1,seconds={seconds:.3f},rate={1 / predictor.period_s:g}")
    return list(islice(windows(drive, predictor, predictor.window_length), count))


def _summarise(
    predictors: dict[Case, Predictor], times: dict[Case, list[tuple[float, float]]]
) -> list[dict[str, Any]]:
    medians = {case: float(np.median(values, axis=0)[0]) for case, values in times.items()}
    reference = medians.get(REFERENCE)
    return [
        {
            "engine": engine,
            "mode": mode,
            "runtime": predictors[engine, mode].engine,  # with its precision
            "predict_ms": _figures([total for total, _ in values]),
            "infer_ms": _figures([infer for _, infer in values]),
            "times_as_fast_as_torch_whole": reference / medians[engine, mode] if reference else None,
        }
        for (engine, mode), values in times.items()
    ]


def _figures(values: Sequence[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99))}
