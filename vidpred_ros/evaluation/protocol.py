"""What was evaluated on what and how: the head of metrics.json, and of every kept result of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidpred_ros.evaluation.scores import Measured
from vidpred_ros.metrics import DEFINITIONS
from vidpred_ros.predictors import Predictor
from vidpred_ros.sources.base import Source
from vidpred_ros.window import stride_for

#: The mode of a replay, beside which there is the live one of a demo.
LOCKSTEP = "Lockstep replay: no frame is lost"


@dataclass(frozen=True)
class Subject:
    """A predictor and the source that it is evaluated on."""

    source: Source
    model: str
    engine: str
    size: tuple[int, int]
    period_s: float
    window_length: int
    steps: int
    weights_sha256: str | None = None

    @classmethod
    def of(cls, source: Source, predictor: Predictor) -> Subject:
        return cls(
            source,
            predictor.model_id,
            predictor.engine,
            predictor.size,
            predictor.period_s,
            predictor.window_length,
            predictor.steps,
            getattr(predictor, "weights_sha256", None),
        )


def latency_summary(latencies: list[float]) -> dict[str, Any]:
    """Median and 99th percentile in ms, without the first prediction (it warms the engine up) if there are more."""
    if not latencies:
        return {"median": None, "p99": None, "reason": "no latency was measured"}
    steady = latencies[1:] or latencies
    return {
        "median": float(np.median(steady)),
        "p99": float(np.percentile(steady, 99)),
        "count": len(steady),
        "what": f"one prediction of all horizons (the first, {latencies[0]:.1f} ms, warms up and is left out)",
    }


def protocol(
    subject: Subject, measured: Measured, mode: str, command: str, drawn: Mapping[str, int]
) -> dict[str, Any]:
    """How the numbers came about. ``drawn``: samples and seed, where something was drawn."""
    height, width = subject.size
    by_chance = "the draws of best_of_N" if drawn else "nothing in this evaluation is drawn at random"
    return {
        "mode": mode,
        "command": command,
        "size": [height, width],
        "crop": f"largest centred {width}:{height} rectangle, area resize to {width}x{height}",
        "period_s": measured.period_s,
        "model_period_s": subject.period_s,
        "source_rate_hz": subject.source.rate_hz,
        "stride": stride_for(subject.source.rate_hz, subject.period_s),
        "phases": len(measured.phases),
        "window": subject.window_length,
        "steps": subject.steps,
        "windows": len(measured.periods_ns),
        "scored": "every window that has all its futures, of every phase of the stride; the same windows for every horizon "
        "and method",
        "moving_share": [round(float(share), 4) for share in np.mean(measured.moving, axis=0)],
        "samples": drawn.get("samples"),
        "seed": drawn.get("seed"),
        "seed_reason": by_chance,
        "metrics": DEFINITIONS,
    }
