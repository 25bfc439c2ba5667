"""FrameWindow: any camera from 7 to 60 Hz into a window at about 10 Hz, and what empties it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vidpred_ros.errors import ConfigError
from vidpred_ros.window import SETTLED, FrameWindow, stride_for

MS = 1_000_000
PERIOD_NS = 100 * MS
FRAME = np.zeros((2, 2, 3), np.uint8)
START = 1_700_000_000 * 10**9

rates = st.floats(7, 60)
seeds = st.integers(0, 2**32 - 1)


def camera(rate_hz, count=150, jitter=0.0, seed=0, start=START):
    """Stamps of a camera; each is off by up to ``jitter`` of the interval."""
    off = np.random.default_rng(seed).uniform(-jitter, jitter, count)
    return [start + round((i + o) * 1e9 / rate_hz) for i, o in enumerate(off)]


def feed(window, stamps):
    """Answers of the window to each stamp."""
    return [window.add(stamp, FRAME) for stamp in stamps]


def kept(stamps, answers):
    return [index for index, answer in enumerate(answers) if answer.take]


def best_stride(rate_hz):
    """By brute force: the stride whose rate is nearest to 10 Hz, and how much better it is than the next best."""
    distance = sorted((abs(rate_hz / n - 10), n) for n in range(1, 12))
    return distance[0][1], distance[1][0] - distance[0][0]


@given(rate_hz=rates)
def test_a_perfect_clock_keeps_every_nth_frame_from_the_first(rate_hz):
    stride, margin = best_stride(rate_hz)
    assume(margin > 1e-3)
    window, stamps = FrameWindow(0.1), camera(rate_hz)
    ks = []
    for index, stamp in enumerate(stamps):
        assert window.add(stamp, FRAME).take == (index % stride == 0)
        ks.append(len(window))
    assert ks == [min(8, index // stride + 1) for index in range(len(stamps))]
    assert window.window().stamps_ns == tuple(stamps[::stride][-8:])
    assert window.epoch == 0


@pytest.mark.parametrize(("rate", "stride"), [(7, 1), (10, 1), (13, 1), (15, 2), (17, 2), (20, 2), (25, 3), (30, 3), (60, 6)])
def test_stride_of_common_cameras(rate, stride):
    assert stride_for(rate, 0.1) == stride


def test_a_tie_goes_to_the_longer_spacing():
    assert stride_for(40 / 3, 0.1) == 2  # 13.3 Hz and 6.7 Hz are equally far from 10 Hz


@given(rate_hz=rates, jitter=st.floats(0, 0.2), seed=seeds)
@example(rate_hz=7.0, jitter=0.2, seed=1)
@example(rate_hz=10.0, jitter=0.2, seed=2)
@example(rate_hz=13.3, jitter=0.2, seed=3)
@example(rate_hz=24.0, jitter=0.2, seed=4)
def test_jitter_neither_resets_the_window_nor_makes_it_uneven(rate_hz, jitter, seed):
    window, stamps = FrameWindow(0.1), camera(rate_hz, jitter=jitter, seed=seed)
    indices = {stamp: index for index, stamp in enumerate(stamps)}
    strides, previous_k = set(), 0
    for index, stamp in enumerate(stamps):
        answer = window.add(stamp, FRAME)
        assert answer.reset is None
        if index > SETTLED:  # before that, a wrong guess of the stride may cost frames once
            assert len(window) >= previous_k
        previous_k = len(window)
        full = window.window()
        if full is None:
            continue
        if answer.take:
            assert full.stamps_ns[-1] == stamp  # the newest frame, not the one before it
        strides |= {indices[later] - indices[sooner] for sooner, later in pairwise(full.stamps_ns)}
    assert window.full and len(strides) == 1
    spacing = strides.pop() / rate_hz * 1e9
    assert 0.5 * PERIOD_NS <= spacing <= 1.6 * PERIOD_NS
    for sooner, later in pairwise(window.window().stamps_ns):
        assert 0 < later - sooner and abs(later - sooner - spacing) <= spacing / 2


@given(rate_hz=rates, jitter=st.floats(0, 0.05), seed=seeds)
def test_with_the_jitter_of_a_good_driver_k_only_grows(rate_hz, jitter, seed):
    assume(abs(best_stride(rate_hz)[1]) > 1.5)  # two strides that are nearly as good may change places at the start
    window, previous_k = FrameWindow(0.1), 0
    for stamp in camera(rate_hz, jitter=jitter, seed=seed):
        window.add(stamp, FRAME)
        assert len(window) >= previous_k
        previous_k = len(window)
    assert previous_k == 8 and window.epoch == 0


def test_a_wrong_first_guess_of_the_stride_is_put_right():
    """10 Hz, but the first interval is 60 ms: the window first believes in 16.7 Hz and leaves out a frame."""
    stamps = [START + ms * MS for ms in (0, 60, 200, 300, 400, 500, 600, 700, 800, 900, 1000)]
    window = FrameWindow(0.1)
    answers = feed(window, stamps)
    assert not answers[1].take and all(answer.reset is None for answer in answers)
    assert window.window().stamps_ns == tuple(stamps[-8:])


@given(rate_hz=st.floats(20, 60), seed=seeds, jitter=st.floats(0, 0.1))
def test_single_lost_frames_do_not_shift_the_spacing_of_a_fast_camera(rate_hz, seed, jitter):
    rng = np.random.default_rng(seed)
    stamps, lost_last = [], False
    for index, stamp in enumerate(camera(rate_hz, 200, jitter, seed)):
        lost_last = index > 2 * SETTLED and not lost_last and rng.random() < 0.1
        stamps += [] if lost_last else [stamp]
    window = FrameWindow(0.1)
    answers = feed(window, stamps)
    assert all(answer.reset is None for answer in answers)
    spacings = np.diff([stamps[i] for i in kept(stamps, answers)])
    nominal = best_stride(rate_hz)[0] / rate_hz * 1e9
    assert window.full and spacings.min() >= 0.5 * nominal and spacings.max() <= 1.75 * nominal


def test_a_lost_frame_counts_as_time_that_passed():
    stamps = camera(30, 40)
    del stamps[31]
    window = FrameWindow(0.1)
    answers = feed(window, stamps)
    assert kept(stamps, answers)[10:13] == [30, 32, 35]  # 30, 33 and 36 of the camera


def test_a_lost_frame_of_a_10_hz_camera_is_a_gap():
    stamps = camera(10, 30)
    del stamps[12]
    window = FrameWindow(0.1)
    answers = feed(window, stamps)
    assert [(i, a.reset) for i, a in enumerate(answers) if a.reset] == [(12, "gap")]
    assert window.epoch == 1 and window.window().stamps_ns == tuple(stamps[-8:])


@given(rate_hz=rates, gap_s=st.floats(0.3, 100), seed=seeds)
def test_a_gap_empties_the_window_and_the_frame_after_it_starts_the_next(rate_hz, gap_s, seed):
    first = camera(rate_hz, 100, 0.1, seed)
    second = camera(rate_hz, 100, 0.1, seed + 1, start=first[-1] + round(gap_s * 1e9))
    window = FrameWindow(0.1)
    feed(window, first)
    epoch, sequence = window.epoch, window.sequence
    answer = window.add(second[0], FRAME)
    assert answer.take and answer.reset == "gap" and len(window) == 1
    assert (window.epoch, window.sequence) == (epoch + 1, sequence + 1)
    assert all(a.reset is None for a in feed(window, second[1:]))
    assert window.full and window.window().stamps_ns[0] >= second[0]


@given(rate_hz=rates, count=st.integers(2, 100))
def test_a_bag_that_loops_starts_a_new_epoch_each_time(rate_hz, count):
    window, stamps = FrameWindow(0.1), camera(rate_hz, count)
    for lap in range(3):
        answers = feed(window, stamps)
        assert answers[0].take and answers[0].reset == ("backward stamp" if lap else None)
        assert window.epoch == lap and all(a.reset is None for a in answers[1:])


@given(rate_hz=rates, seed=seeds, copies=st.integers(1, 3))
def test_duplicates_change_nothing(rate_hz, seed, copies):
    once, repeated = FrameWindow(0.1), FrameWindow(0.1)
    for stamp in camera(rate_hz, jitter=0.1, seed=seed):
        assert once.add(stamp, FRAME) == repeated.add(stamp, FRAME)
        for _ in range(copies):
            answer = repeated.add(stamp, FRAME)
            assert not answer.take and answer.skipped == "duplicate"
    assert once.window().stamps_ns == repeated.window().stamps_ns


def test_a_changed_size_or_encoding_empties_the_window():
    window, stamps = FrameWindow(0.1), camera(10, 40)
    feed(window, stamps[:20])
    answer = window.add(stamps[20], np.zeros((4, 4, 3), np.uint8))
    assert answer.take and answer.reset == "image changed" and len(window) == 1
    encodings = [window.offer(stamp, "bgr8") for stamp in stamps[21:23]]
    assert [e.reset for e in encodings] == ["image changed", None]


def test_a_camera_that_does_not_stamp_is_all_duplicates():
    window = FrameWindow(0.1)
    answers = feed(window, [0] * 20)
    assert answers[0].take and all(a.skipped == "duplicate" for a in answers[1:])
    assert len(window) == 1 and window.window() is None


def test_stamps_may_start_at_zero():
    window = FrameWindow(0.1)
    feed(window, camera(10, 8, start=0))
    assert window.full and window.window().stamps_ns[0] == 0


@pytest.mark.parametrize("rate_hz", [0.5, 2, 4, 5, 6])
def test_a_camera_slower_than_the_model_never_fills_the_window(rate_hz):
    window = FrameWindow(0.1)
    for stamp in camera(rate_hz, 60):
        window.add(stamp, FRAME)
        assert not window.full


@pytest.mark.parametrize(("before", "after"), [(30, 15), (15, 30), (30, 20), (60, 25), (10, 30), (10, 60), (25, 10)])
def test_a_camera_that_changes_its_rate_is_followed_without_a_reset(before, after):
    first = camera(before, 120)
    stamps = first + camera(after, 120, start=first[-1] + round(1e9 / after))
    window = FrameWindow(0.1)
    answers = feed(window, stamps)
    assert all(answer.reset is None for answer in answers)
    spacings = np.diff([stamps[i] for i in kept(stamps, answers)])
    assert spacings.min() >= 0.5 * PERIOD_NS and spacings.max() < 2 * PERIOD_NS  # one long step at the change
    assert spacings[-8:] == pytest.approx(best_stride(after)[0] / after * 1e9)


def test_reset_forgets_frames_and_rate():
    window = FrameWindow(0.1)
    feed(window, camera(30, 60))
    window.reset()
    assert len(window) == 0 and window.window() is None and window.epoch == 1
    slower = camera(10, 8)  # its stamps go back, but there is nothing left to go back from
    assert all(a.take and a.reset is None for a in feed(window, slower))


def test_a_frame_that_was_taken_but_could_not_be_converted_is_replaced_by_the_next():
    window, stamps = FrameWindow(0.1), camera(30, 60)
    feed(window, stamps[:30])
    assert window.offer(stamps[30], FRAME.shape).take  # and no push
    assert window.add(stamps[31], FRAME).take
    assert window.window().stamps_ns[-2:] == (stamps[27], stamps[31])


@given(
    steps=st.lists(st.tuples(st.integers(-300, 500), st.sampled_from(["rgb8", "bgr8"]), st.booleans()), max_size=60),
    length=st.integers(1, 8),
)
def test_whatever_comes_the_window_stays_in_order(steps, length):
    window, stamp, pushed = FrameWindow(0.1, length), START, 0
    epoch = 0
    for step_ms, encoding, converted in steps:
        stamp += step_ms * MS
        answer = window.offer(stamp, encoding)
        assert answer.take == (answer.skipped is None)
        if answer.take and converted:
            window.push(stamp, FRAME)
            pushed += 1
        assert window.sequence == pushed and window.epoch >= epoch
        epoch = window.epoch
        assert len(window) <= length and (window.window() is not None) == window.full
        full = window.window()
        if full:
            spacings = np.diff(full.stamps_ns)
            assert (spacings > 0).all() and (spacings <= 2.4 * PERIOD_NS).all()
            assert len(full.frames) == len(full.stamps_ns) == length


@pytest.mark.parametrize(
    ("rate_hz", "period_ms"), [(10, 100), (30, 100), (20, 100), (9.5, 100), (25, 120), (15, 1000 / 7.5), (7, 1000 / 7)]
)
def test_the_window_says_which_spacing_a_forecast_continues(rate_hz, period_ms):
    window = FrameWindow(0.1)
    feed(window, camera(rate_hz))
    assert window.window().period_ns == pytest.approx(period_ms * MS, abs=2)


def test_frames_and_stamps_are_the_ones_given():
    window, stamps = FrameWindow(0.1, length=3), camera(10, 5)
    frames = [np.full((2, 2, 3), i, np.uint8) for i in range(5)]
    for stamp, frame in zip(stamps, frames, strict=True):
        window.add(stamp, frame)
    full = window.window()
    assert full.stamps_ns == tuple(stamps[2:]) and all(a is b for a, b in zip(full.frames, frames[2:], strict=True))
    assert full.sequence == 5 and full.epoch == 0


@pytest.mark.parametrize(("period_s", "length"), [(0, 8), (-0.1, 8), (float("nan"), 8), (0.1, 0), (0.1, -1)])
def test_nonsense_is_refused(period_s, length):
    with pytest.raises(ConfigError, match="length >= 1 and period > 0"):
        FrameWindow(period_s, length)
