"""The path of camera frames through the node, stage by stage: in figures, and as a trace to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidpred_ros.bench.interleave import figures

#: The stages of a frame one after the other, each with the thread that it is in; stages named "predict/..." that a predictor
#: has beside these stand in their place.
EXECUTOR, LANE = 1, 2
STAGES = {
    "receive": EXECUTOR,
    "convert": EXECUTOR,
    "wait": LANE,
    "predict/motion": LANE,
    "predict/infer": LANE,
    "predict/output": LANE,
    "publish": LANE,
}
THREADS = {EXECUTOR: "executor: receives and converts", LANE: "lane: predicts and publishes"}


def without_inference(each: Mapping[str, Sequence[float]]) -> list[float]:
    """Milliseconds of each frame from the camera's write to the published forecast, less the network's own inference.

    ``each`` {stage: ms of each frame}, as ``Recording.summary["latency_ms_each"]``. The optical flow is not taken off.
    """
    return [total - infer for total, infer in zip(each["total"], each["predict/infer"], strict=True)]


def without_predictor(each: Mapping[str, Sequence[float]]) -> list[float]:
    """The same less all that the predictor itself does, its optical flow included."""
    own = [sum(stages) for stages in zip(*(values for name, values in each.items() if name.startswith("predict/")), strict=True)]
    return [total - one for total, one in zip(each["total"], own, strict=True)]


def stage_figures(each: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """{stage: {median, p99}} in ms: the stages in their order, then what remains of the predictor, the total and the two above."""
    named = {stage: list(each[stage]) for stage in STAGES if stage in each}
    known = [sum(stages) for stages in zip(*(each[s] for s in STAGES if s in each and s.startswith("predict/")), strict=True)]
    rest = {"predict, rest": [all_of_it - one for all_of_it, one in zip(each["predict"], known, strict=True)]}
    totals = {
        "total": list(each["total"]),
        "total less inference": without_inference(each),
        "total less inference and flow": without_predictor(each),
    }
    return {stage: figures(values) for stage, values in (named | rest | totals).items()}


def trace_events(stamps_ns: Sequence[int], each: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A trace in Chrome's Trace Event Format, which chrome://tracing and ui.perfetto.dev open.

    A complete ("X") event for each stage of each frame, in microseconds. A frame begins at its stamp, when the camera sends it;
    its stages stand one after the other, since it is their lengths that the node measures.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": {"name": name}} for thread, name in THREADS.items()
    ]
    for number, stamp in enumerate(stamps_ns):
        at = (stamp - stamps_ns[0]) / 1e3
        for stage, thread in STAGES.items():
            if stage not in each:
                continue
            length = 1e3 * each[stage][number]
            events.append(
                {
                    "ph": "X",
                    "name": stage,
                    "pid": 1,
                    "tid": thread,
                    "ts": round(at, 1),
                    "dur": round(length, 1),
                    "args": {"frame": number, "stamp_ns": stamp},
                }
            )
            at += length
    return {"traceEvents": events, "displayTimeUnit": "ms"}
