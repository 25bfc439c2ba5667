"""Lockstep replay: which windows there are, and what belongs to each."""

from itertools import pairwise

import numpy as np
import pytest

from vidpred_ros.errors import SourceError
from vidpred_ros.evaluation.trials import phases, replay
from vidpred_ros.predictors import make_predictor
from vidpred_ros.sources.base import SourceFrame

SIZE = (32, 40)


class Numbered:
    """A source whose frame i is the grey level i; ``stamps_s`` are its times."""

    name = "numbered"

    def __init__(self, stamps_s, rate_hz=10.0):
        self.stamps_s, self.rate_hz = list(stamps_s), rate_hz

    def __len__(self):
        return len(self.stamps_s)

    def __iter__(self):
        for i, stamp in enumerate(self.stamps_s):
            yield SourceFrame(round(stamp * 1e9), np.full((*SIZE, 3), i, np.uint8))

    def fingerprint(self):
        return "0" * 64


def copy_last(steps):
    return make_predictor("copy_last", steps=steps, size=SIZE)


def levels(frames):
    return [int(frame[0, 0, 0]) for frame in frames]


def test_every_window_that_has_all_its_futures():
    trials = list(replay(Numbered(i / 10 for i in range(20)), copy_last(3)))
    assert [trial.index for trial in trials] == list(range(20 - 8 - 3 + 1))
    for i, trial in enumerate(trials):
        assert levels(trial.window.frames) == list(range(i, i + 8))
        assert levels(trial.truth) == [i + 8, i + 9, i + 10]
        assert levels(trial.predicted) == [i + 7] * 3
        assert trial.window.stamps_ns[-1] == trial.forecast.source_stamp_ns == (i + 7) * 100_000_000
        assert trial.window.period_ns == 100_000_000
        assert trial.latency_ms > 0


def test_a_faster_camera_is_taken_at_a_whole_stride():
    trials = list(replay(Numbered((i / 25 for i in range(60)), 25.0), copy_last(1)))
    assert levels(trials[0].window.frames) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert levels(trials[0].truth) == [24]
    assert trials[0].window.period_ns == 120_000_000


def test_every_phase_of_the_stride_is_there():
    source = Numbered((i / 25 for i in range(32)), 25.0)  # 32 frames hold 11, 11 and 10 at a stride of 3
    trials = list(replay(source, copy_last(2)))
    assert phases(source, 0.1) == 3
    assert [(trial.phase, levels(trial.window.frames)[0]) for trial in trials] == [(0, 0), (0, 3), (1, 1), (1, 4), (2, 2)]
    assert levels(trials[4].window.frames) == list(range(2, 26, 3))
    assert levels(trials[4].truth) == [26, 29]
    assert [trial.index for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.index for trial in replay(source, copy_last(2), only={3})] == [3]


def test_a_phase_is_an_epoch_of_its_own():
    trials = list(replay(Numbered((i / 20 for i in range(30)), 20.0), copy_last(1)))
    by_phase = {trial.phase: trial.window.epoch for trial in trials}
    assert len(by_phase) == len(set(by_phase.values())) == 2
    sequences = [trial.window.sequence for trial in trials]
    assert sequences == sorted(sequences)


def test_no_window_comes_twice_after_a_gap():
    stamps = [i / 20 for i in range(30)] + [5 + i / 20 for i in range(24)]
    trials = list(replay(Numbered(stamps, 20.0), copy_last(1)))
    everything = [tuple(levels(trial.window.frames) + levels(trial.truth)) for trial in trials]
    assert len(set(everything)) == len(everything) == 2 * (15 - 8) + 2 * (12 - 8)
    assert {frames[0] % 2 for frames in everything} == {0, 1}
    assert all(b - a == 2 for frames in everything for a, b in pairwise(frames))


def test_the_progress_bar_sees_every_frame_of_every_phase():
    seen = []

    def watch(items):
        for item in items:
            seen.append(item)
            yield item

    list(replay(Numbered((i / 20 for i in range(30)), 20.0), copy_last(1), watch))
    assert len(seen) == 60


def test_no_window_spans_a_gap():
    stamps = [i / 10 for i in range(15)] + [5 + i / 10 for i in range(12)]
    trials = list(replay(Numbered(stamps), copy_last(2)))
    for trial in trials:
        everything = levels(trial.window.frames) + levels(trial.truth)
        assert everything == list(range(everything[0], everything[0] + 10))
        assert not everything[0] < 15 <= everything[-1]
    assert len(trials) == (15 - 9) + (12 - 9)


def test_windows_of_an_epoch_count_up_for_predictors_that_stream():
    windows = [trial.window for trial in replay(Numbered(i / 10 for i in range(14)), copy_last(2))]
    assert [w.sequence - windows[0].sequence for w in windows] == list(range(5))
    assert len({w.epoch for w in windows}) == 1


def test_chosen_windows_only():
    source = Numbered(i / 10 for i in range(20))
    chosen = list(replay(source, copy_last(1), only={2, 5}))
    assert [trial.index for trial in chosen] == [2, 5]
    assert levels(chosen[1].truth) == [13]


@pytest.mark.parametrize(
    "stamps", [[i / 10 for i in range(9)], [i / 2 for i in range(60)]], ids=["short", "slow"]
)
def test_a_source_without_a_window_says_why(stamps):
    with pytest.raises(SourceError, match="numbered: .* no run of 10 frames 0.1 s apart"):
        list(replay(Numbered(stamps), copy_last(2)))


@pytest.mark.parametrize(("frames", "period_s"), [(9, 0.1), (60, 1000.0), (60, 0.04)], ids=["short", "long period", "short period"])
def test_what_can_have_no_window_is_not_even_read(frames, period_s):
    def unread(items):
        raise AssertionError("read")
        yield from items

    predictor = copy_last(2)
    predictor.period_s = period_s
    with pytest.raises(SourceError, match="no run of 10 frames"):
        list(replay(Numbered(i / 10 for i in range(frames)), predictor, unread))
