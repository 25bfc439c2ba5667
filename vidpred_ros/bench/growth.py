"""How the cost of one forecast grows with pixels, cameras and future steps: the default path, measured and fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from vidpred_ros.bench.cases import drive, engine_run
from vidpred_ros.bench.goals import SIZE
from vidpred_ros.bench.interleave import WARM_UP, Run, figures, interleave
from vidpred_ros.engines import open_engine
from vidpred_ros.models import ReleasedModel

SIZES = ((64, 80), (96, 128), SIZE, (192, 240), (256, 320))
CAMERAS = (1, 2, 3, 4, 6)
STEPS = (1, 2, 3, 4, 5)


class Point(NamedTuple):
    """One configuration: frames of ``size`` (height, width) from ``cameras`` as one batch, ``steps`` futures of each."""

    size: tuple[int, int] = SIZE
    cameras: int = 1
    steps: int = 1


#: What grows along each axis, and the points on it.
AXES: dict[str, list[tuple[int, Point]]] = {
    "pixels": [(height * width, Point(size=(height, width))) for height, width in SIZES],
    "cameras": [(count, Point(cameras=count)) for count in CAMERAS],
    "steps": [(count, Point(steps=count)) for count in STEPS],
}


def measure_growth(
    model: ReleasedModel, rounds: int, progress: Callable[[str, float, float], None] = lambda what, done, total: None
) -> dict[str, Any]:
    """Milliseconds of one streamed pass on this machine's best engine: one interleaved run over all points.

    Returns ``model``, ``engine`` and for each of ``AXES`` ``values``, ``median_ms`` and the ``exponent`` of the power law
    through them (1: linear). Raises EngineError when an engine cannot be opened.
    """
    points = list(dict.fromkeys(point for axis in AXES.values() for _, point in axis))
    runs: dict[Point, Run] = {}
    seen = {size: drive(size) for size in SIZES}
    with ExitStack() as opened:
        for number, point in enumerate(points):
            progress("opening networks for the growth of cost", number, len(points))
            engine = open_engine(model.at(point.size), None, "stream", point.steps, batch=point.cameras)
            opened.callback(engine.close)
            runs[point] = engine_run(engine, "stream", seen[point.size], point.cameras)
        times = interleave(
            runs, range(WARM_UP + rounds), lambda done, total: progress("growth of cost (rounds)", done, total)
        )
    medians = {point: figures([one["call"] for one in values])["median"] for point, values in times.items()}
    found: dict[str, Any] = {"model": model.id, "engine": f"{engine.name} {engine.precision}", "rounds": rounds}
    for name, axis in AXES.items():
        values = [value for value, _ in axis]
        milliseconds = [medians[point] for _, point in axis]
        found[name] = {"values": values, "median_ms": milliseconds, "exponent": exponent(values, milliseconds)}
    return found


def exponent(values: Sequence[float], times: Sequence[float]) -> float:
    """p of the power law times = c * values**p that fits best (least squares of the logarithms)."""
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])


def summary(growth: Mapping[str, Any]) -> str:
    """The exponents in a sentence."""
    fitted = ", ".join(f"{name} {growth[name]['exponent']:.2f}" for name in AXES)
    return f"cost grows with the power (1: linear): {fitted} ({growth['model']}, streamed, {growth['engine']})"
