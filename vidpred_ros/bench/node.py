"""The predictor node under the load of a raw 1280x720 camera, or of several: what `vidpred bench` says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vidpred_ros.bench.trace import stage_figures, trace_events

#: The camera: raw, as most car cameras send it. Height and width, Hz.
CAMERA_SIZE, CAMERA_RATE = (720, 1280), 30.0
#: Hz of each of several: the models' own, so that every frame is one to predict on.
RATE_OF_SEVERAL = 10.0


def measure_node(
    model: str,
    engine: str | None,
    steps: int,
    seconds: float,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of ``nodes.load.load_figures`` with ``stages`` beside them {stage: {median, p99}}, and the trace of every frame.

    Raises VidpredError where ROS 2 is not there, or a node fails.
    """
    from vidpred_ros.nodes.load import load_figures, record_load

    recording = record_load(CAMERA_SIZE, CAMERA_RATE, seconds, model, engine, steps, progress)
    figures = load_figures(recording, CAMERA_SIZE, CAMERA_RATE)
    each, stamps = recording.summary["latency_ms_each"], recording.summary["info_stamps_ns"]
    if "predict/infer" in each:  # a baseline has no engine
        figures["stages"] = stage_figures(each)
    return figures, trace_events(stamps, each)


def measure_cameras(
    model: str,
    engine: str | None,
    steps: int,
    seconds: float,
    cameras: int,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The figures of ``nodes.load.load_figures`` of that many cameras, 2 or more. Raises VidpredError as ``measure_node`` does."""
    from vidpred_ros.nodes.load import load_figures, record_load

    recording = record_load(CAMERA_SIZE, RATE_OF_SEVERAL, seconds, model, engine, steps, progress, cameras)
    return load_figures(recording, CAMERA_SIZE, RATE_OF_SEVERAL)
