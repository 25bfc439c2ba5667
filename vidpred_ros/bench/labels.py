"""How fast label futures are here: a structure model on every engine, streamed and whole, and the segmenter apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.bench.engines import Case, summarise
from vidpred_ros.bench.gpu import in_words
from vidpred_ros.bench.interleave import WARM_UP, Run, interleave
from vidpred_ros.engines.choice import candidates
from vidpred_ros.errors import ConfigError
from vidpred_ros.predictors.structure import Structure, find_structure, make_structure
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.segmenters import Segmenter, make_segmenter
from vidpred_ros.sources import open_source
from vidpred_ros.window import FrameWindow, Window


class _Moment(NamedTuple):
    window: Window  # frames at twice the label size, as a segmenter would have them
    labels: tuple[NDArray[np.uint8], ...]


def measure_structure(
    model: str,
    segmenter: str,
    steps: int,
    samples: int,
    rounds: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Milliseconds of a forecast from label maps that are there, for each engine that this machine can run, whole and streamed,
    and of the segmenter that makes them; all in one interleaved run, see ``engines.measure_engines``.

    Returns ``cases`` (engine, mode, runtime, predict_ms and its stages motion_ms, encode_ms, forecast_ms, each {median, p99},
    forecasts_per_s), the same of mode "segmenter" in ``segmenters``, and ``left_out`` {case: reason}. Raises ModelError for
    an unknown model and for one that predicts no label maps, EngineError where there is no engine, ConfigError when nothing can be
    measured.
    """
    card = find_structure(model).card
    runs: dict[Case, Run] = {}
    runtimes: dict[Case, str] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as opened:
        for engine in candidates(None):
            for mode in ("whole", "streamed"):
                if mode == "streamed" and card.network.kind != "structure":
                    left_out[f"{engine} {mode}"] = f"a {card.network.kind} network does not stream"
                    continue
                try:
                    predictor = make_structure(model, None, engine, steps, samples, stream=mode == "streamed")
                except Exception as error:  # noqa: BLE001 - a GPU's libraries raise kinds of their own
                    left_out[f"{engine} {mode}"] = in_words(error)
                    continue
                opened.callback(predictor.close)
                runs[engine, mode], runtimes[engine, mode] = _forecast(predictor), predictor.engine
            try:
                eyes = make_segmenter(segmenter, engine, label_size=card.size)
            except Exception as error:  # noqa: BLE001 - see above
                left_out[f"{engine} segmenter"] = in_words(error)
                continue
            opened.callback(eyes.close)
            runs[engine, "segmenter"], runtimes[engine, "segmenter"] = _segment(eyes), eyes.engine
        if all(mode == "segmenter" for _, mode in runs):
            raise ConfigError(f"no engine can run {card.id}: {left_out}")
        times = interleave(runs, _moments(predictor, WARM_UP + rounds), progress)
    stages = {f"{stage}_ms": stage for stage in ("motion", "encode", "forecast")}
    cases = summarise({case: t for case, t in times.items() if case[1] != "segmenter"}, runtimes, stages)
    for case in cases:
        case["forecasts_per_s"] = 1e3 / case["predict_ms"]["median"]
    return {
        "model": card.id,
        "weights_sha256": card.weights_sha256,
        "size": list(card.size),
        "steps": steps,
        "samples": predictor.samples,
        "rounds": rounds,
        "warm_up_rounds": WARM_UP,
        "cases": cases,
        "segmenters": summarise({case: t for case, t in times.items() if case[1] == "segmenter"}, runtimes, {}),
        "left_out": left_out,
    }


def _forecast(predictor: Structure) -> Run:
    return lambda moment: predictor.predict(moment.window, moment.labels).latency_ms


def _segment(segmenter: Segmenter) -> Run:
    def run(moment: _Moment) -> Mapping[str, float]:
        segmenter.segment(crop_and_resize(moment.window.frames[-1], segmenter.size))
        return {}

    return run


def _moments(predictor: Structure, count: int) -> list[_Moment]:
    """That many consecutive windows of the built-in drive, with its label maps."""
    height, width = (2 * side for side in predictor.label_size)
    seconds = (count + predictor.window_length) * predictor.period_s
    drive = open_source(f"synthetic:seed=1,seconds={seconds:.3f},rate={1 / predictor.period_s:g},width={width},height={height}")
    window = FrameWindow(predictor.period_s, predictor.window_length)
    maps: dict[int, NDArray[np.uint8]] = {}
    found: list[_Moment] = []
    for frame in drive:
        assert frame.labels is not None  # a synthetic drive knows them
        maps[frame.stamp_ns] = crop_and_resize_labels(frame.labels, predictor.label_size)
        window.add(frame.stamp_ns, frame.image)
        full = window.window()
        if full is not None and len(found) < count:
            found.append(_Moment(full, tuple(maps[stamp] for stamp in full.stamps_ns)))
    return found
