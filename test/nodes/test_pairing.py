import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.nodes.pairing import MEMORY_NS, Pair, Pairing

MS = 1_000_000


def pairing() -> Pairing[str, str]:
    return Pairing(tolerance_ns=50 * MS)


def test_a_label_map_meets_the_frame_of_its_stamp_whichever_comes_first() -> None:
    late, early = pairing(), pairing()
    assert late.add_frame(100 * MS, "frame") == []
    assert late.add_labels(100 * MS, "labels") == [Pair("frame", "labels")]
    assert early.add_labels(100 * MS, "labels") == []
    assert early.add_frame(100 * MS, "frame") == [Pair("frame", "labels")]


def test_the_nearest_frame_counts_once_it_is_known_which_one_that_is() -> None:
    pairs = pairing()
    for k in range(3):
        pairs.add_frame(k * 33 * MS, f"frame {k}")
    assert pairs.add_labels(70 * MS, "labels") == [], "a nearer frame may follow"
    assert pairs.add_frame(99 * MS, "frame 3") == [Pair("frame 2", "labels")]


def test_a_label_map_far_from_every_frame_has_none() -> None:
    pairs = pairing()
    pairs.add_frame(0, "frame 0")
    pairs.add_labels(100 * MS, "labels")
    assert pairs.add_frame(200 * MS, "frame 1") == [Pair(None, "labels")]


def test_of_two_frames_with_one_stamp_the_first_counts() -> None:
    pairs = Pairing[object, str](tolerance_ns=50 * MS)  # pictures cannot be compared either
    first, second, third = object(), object(), object()
    assert pairs.add_frame(100 * MS, first) == []
    assert pairs.add_frame(100 * MS, second) == []
    assert pairs.add_labels(100 * MS, "labels") == [Pair(first, "labels")]
    assert pairs.add_frame(200 * MS, third) == []
    assert pairs.add_labels(150 * MS, "half-way") == [Pair(third, "half-way")]


def test_label_maps_without_any_frames_are_given_up_in_the_end() -> None:
    pairs = pairing()
    given_up = [pair for k in range(20) for pair in pairs.add_labels(k * 100 * MS, f"labels {k}")]
    assert given_up == [Pair(None, f"labels {k}") for k in range(12)]


def test_frames_older_than_the_memory_are_gone() -> None:
    pairs = pairing()
    pairs.add_frame(0, "old")
    pairs.add_frame(MEMORY_NS + 1, "new")
    assert pairs.add_labels(0, "labels") == [Pair(None, "labels")]


def test_a_bag_that_loops_with_a_label_map_ahead_of_its_frame_loses_none() -> None:
    pairs = pairing()
    for k in range(100, 120):
        assert pairs.add_labels(k * 100 * MS, f"labels {k}") == []
        assert pairs.add_frame(k * 100 * MS, f"frame {k}") == [Pair(f"frame {k}", f"labels {k}")]
    assert pairs.add_labels(0, "labels 0") == []
    assert pairs.add_frame(0, "frame 0") == [Pair("frame 0", "labels 0")]


def test_a_bag_that_loops_begins_anew() -> None:
    pairs = pairing()
    for k in range(5):
        pairs.add_frame(k * 100 * MS, f"first {k}")
    pairs.add_labels(500 * MS, "waits for a frame that never comes")
    assert pairs.add_frame(0, "second 0") == []
    assert pairs.add_labels(0, "labels") == [Pair("second 0", "labels")]


@given(
    st.lists(st.integers(0, 2000), unique=True, min_size=1, max_size=30).map(sorted),
    st.lists(st.integers(0, 2000), unique=True, max_size=30).map(sorted),
    st.randoms(use_true_random=False),
)
def test_in_any_order_of_arrival_each_label_map_gets_the_nearest_frame_or_none(frames, maps, random) -> None:
    pairs = Pairing[int, int](tolerance_ns=50)
    waiting, frames_left = list(maps), list(frames)
    found: dict[int, int | None] = {}
    newest_map = -1
    while waiting or frames_left:
        # neither topic runs ahead of the other by more than the other's next message
        if waiting and (not frames_left or random.random() < 0.5) and len(found) + 7 > maps.index(waiting[0]):
            newest_map = waiting.pop(0)
            decided = pairs.add_labels(newest_map, newest_map)
        elif frames_left:
            decided = pairs.add_frame(frames_left[0], frames_left.pop(0))
        else:
            break
        found.update({pair.labels: pair.frame for pair in decided})
    for stamp in maps:
        if stamp not in found:
            assert stamp > frames[-1] or stamp in waiting, "only those later than every frame wait"
            continue
        nearest = min(frames, key=lambda t: abs(t - stamp))
        expected = abs(nearest - stamp) <= 50
        assert (found[stamp] is not None) == expected
        assert not expected or abs(found[stamp] - stamp) == abs(nearest - stamp)
