"""One interleaved run: every case on the same input, round by round, so that a busy or slowing machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

#: Rounds at the start that are run and not counted: allocation, compilation, caches.
WARM_UP = 3

#: One turn of a case: its stages in milliseconds.
Run = Callable[[Any], Mapping[str, float]]
Case = TypeVar("Case", bound=Hashable)


def interleave(
    runs: Mapping[Case, Run], inputs: Sequence[Any], progress: Callable[[int, int], None]
) -> dict[Case, list[dict[str, float]]]:
    """Milliseconds of each counted round by stage, and in all ("total"): every case on the same input, in turning order."""
    order = list(runs)
    times: dict[Case, list[dict[str, float]]] = {case: [] for case in order}
    for number, given in enumerate(inputs):
        first = number % len(order)
        for case in order[first:] + order[:first]:
            start = time.perf_counter()
            stages = runs[case](given)
            elapsed = (time.perf_counter() - start) * 1e3
            if number >= WARM_UP:
                times[case].append({**stages, "total": elapsed})
        progress(number + 1, len(inputs))
    return times


def figures(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99))}
