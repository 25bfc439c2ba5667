"""The trace of frames through the node: what a viewer needs, and figures of the same times."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vidpred_ros.bench.trace import stage_figures, trace_events, without_inference, without_predictor

EACH = {
    "receive": [1.0, 2.0],
    "convert": [0.5, 0.5],
    "wait": [0.1, 0.1],
    "predict/motion": [3.0, 3.0],
    "predict/infer": [8.0, 9.0],
    "predict": [11.5, 12.5],
    "publish": [0.2, 0.4],
    "total": [13.3, 15.5],
    "overhead": [2.3, 3.5],
}
STAMPS = [1_000_000_000, 1_100_000_000]


def test_a_frames_stages_stand_one_after_the_other():
    events = trace_events(STAMPS, EACH)["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert {event["tid"] for event in complete} == {event["tid"] for event in events if event["ph"] == "M"}
    for frame in (0, 1):
        own = [event for event in complete if event["args"]["frame"] == frame]
        names = ["receive", "convert", "wait", "predict/motion", "predict/infer", "publish"]
        assert [event["name"] for event in own] == names, "a stage that this predictor lacks is left out"
        assert own[0]["ts"] == frame * 100_000, "microseconds after the first frame's stamp"
        assert [event["dur"] for event in own] == pytest.approx([1000 * EACH[name][frame] for name in names])
        for before, after in pairwise(own):
            assert after["ts"] == pytest.approx(before["ts"] + before["dur"], abs=0.11)


def test_what_is_taken_off():
    assert without_inference(EACH) == pytest.approx([5.3, 6.5])
    assert without_predictor(EACH) == pytest.approx([2.3, 3.5])


def test_figures_of_stages():
    found = stage_figures(EACH)
    assert list(found)[:6] == ["receive", "convert", "wait", "predict/motion", "predict/infer", "publish"]
    assert found["receive"] == {"median": 1.5, "p99": pytest.approx(1.99)}
    assert found["predict, rest"]["median"] == pytest.approx(0.5), "of the predictor, but in none of its stages"
    assert found["total less inference"]["median"] == pytest.approx(np.median([5.3, 6.5]))
    assert found["total less inference and flow"]["p99"] == pytest.approx(2.3 + 0.99 * 1.2)
