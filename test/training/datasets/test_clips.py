from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.disk import no_room
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.datasets.clips import ClipDataset, Deck, strides_within
from training.datasets.frames import Sequence
from training.recipe import Data
from vidpred_ros.errors import SourceError
from vidpred_ros.window import stride_for


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    return tmp_path


def moving_sequence(count: int = 40, rate_hz: float = 10) -> Sequence:
    """A texture that moves 2 pixels to the right in each frame."""
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (48, 60 + 2 * count, 3), np.uint8), (7, 7), 2)
    frames = np.stack([wide[:, 2 * (count - i) : 2 * (count - i) + 60] for i in range(count)])
    return Sequence("moving", rate_hz, frames)


@pytest.mark.parametrize("futures", [1, 3, 8])
def test_clips_are_windows_of_consecutive_frames_with_their_flow(futures: int) -> None:
    sequence = moving_sequence()
    data = Data(train=["x"], size=(48, 48), flip=0.0)
    clips = ClipDataset([sequence], data, futures, flows=True, seed=0, length=50)
    crops = sequence.frames[:, :, 6:54].transpose(0, 3, 1, 2) / 255.0
    starts = set()
    for i in range(10):
        item = clips[i]
        frames, flows = item["frames"].numpy(), item["flows"].numpy()
        assert frames.shape == (8 + futures, 3, 48, 48) and flows.shape == (8, 2, 48, 48)
        start = int(np.argmin(np.abs(crops - frames[0]).mean((1, 2, 3))))
        assert np.allclose(frames, crops[start : start + 8 + futures], atol=1e-6)
        assert np.median(flows[1:, 0]) == pytest.approx(-2, abs=0.2)  # backward flow: where it was
        assert abs(np.median(flows[1:, 1])) < 0.1
        starts.add(start)
    assert len(starts) == 10, "no window comes again before all have been there"


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    weight=st.floats(1e-3, 1e3),
    seed=st.integers(0, 99),
    within=st.floats(0.01, 0.99),
)
def test_a_deck_of_equal_weights_holds_every_window_once(
    counts: list[int], weight: float, seed: int, within: float
) -> None:
    deck = Deck(counts, [weight] * len(counts), seed)
    windows = [(i, w) for i, count in enumerate(counts) for w in range(count)]
    assert deck.size == len(windows)
    rounds = [[deck.draw(r * deck.size + i, within) for i in range(deck.size)] for r in range(2)]
    assert all(sorted(drawn) == windows for drawn in rounds)
    assert rounds[0] == [Deck(counts, [weight] * len(counts), seed).draw(i, within) for i in range(deck.size)]
    assert deck.size < 20 or rounds[0] != rounds[1]


def test_no_clip_reaches_over_a_gap_in_time() -> None:
    sequence = replace(moving_sequence(40), breaks=(12, 20, 33))  # the second and the last part are too short for a clip
    clips = ClipDataset([sequence], Data(train=["x"], size=(48, 48), flip=0.0), 1, flows=True, seed=0, length=50)
    crops = sequence.frames[:, :, 6:54].transpose(0, 3, 1, 2) / 255.0
    starts = [int(np.argmin(np.abs(crops - clips[i]["frames"][0].numpy()).mean((1, 2, 3)))) for i in range(clips.deck.size)]
    # 9 frames are seen and predicted, and one before them: frames 0 to 11 hold three clips, 20 to 32 four
    assert sorted(starts) == [1, 2, 3, 21, 22, 23, 24]


def test_weights_are_the_shares_of_windows() -> None:
    rng = np.random.default_rng(0)
    deck = Deck([100, 300, 50, 10], [1.0, 0.2, 2.0, 0.0], seed=3)
    drawn = [deck.draw(i, rng.random()) for i in range(20 * deck.size)]
    got = Counter(sequence for sequence, _ in drawn)
    expected = {0: 100, 1: 60, 2: 100}  # windows times weight
    for sequence, share in expected.items():
        assert got[sequence] / len(drawn) == pytest.approx(share / 260, rel=0.02)
    assert 3 not in got
    assert {w for s, w in drawn if s == 1} == set(range(300)), "windows of small weight are all reached"


def test_clips_are_a_function_of_seed_and_index(cache: Path) -> None:
    for bank in (None, 3):
        data = Data(train=["x"], size=(32, 32), crop=(0.6, 1.0), photometric=0.2, rates=(4, 11), bank=bank)
        make = [ClipDataset([moving_sequence()], data, 2, True, seed, 50) for seed in (0, 0, 1)]
        for i in (0, 7):
            a, b, c = (dataset[i] for dataset in make)
            assert all(np.array_equal(a[k], b[k]) for k in a) and not np.array_equal(a["frames"], c["frames"])
    assert len(list(cache.rglob("*.npz"))) == 4  # slots 0 and 1 (7 % 3) of two seeds


def test_a_damaged_bank_is_made_again(cache: Path) -> None:
    clips = ClipDataset([moving_sequence()], Data(train=["x"], size=(32, 32), bank=2), 2, True, 0, 9)
    first = clips[1]
    (file,) = cache.rglob("*.npz")
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], whole[:2000] + bytes(2000) + whole[4000:]):
        file.write_bytes(damaged)
        assert all(torch.equal(first[key], clips[1][key]) for key in first)
        assert file.read_bytes() == whole


def test_a_bank_without_room_says_so(cache: Path) -> None:
    clips = ClipDataset([moving_sequence()], Data(train=["x"], size=(32, 32), bank=2), 2, True, 0, 9)
    with no_room(), pytest.raises(SourceError, match=r"a clip of 0\.1 MB cannot be kept in .*clips.*VIDPRED_CACHE"):
        clips[1]
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_bank_is_not_used_for_other_data() -> None:
    """The recipe may say $VIDPRED_DATA/drive both times."""
    data = Data(train=["x"], size=(32, 32), flip=0, bank=2)
    one, other = moving_sequence(), replace(moving_sequence(), key="other", frames=255 - moving_sequence().frames)
    a, b = (ClipDataset([s], data, 2, False, 0, 9)[0]["frames"] for s in (one, other))
    assert torch.allclose(a, 1 - b, atol=1e-6)


def test_a_flipped_clip_has_flipped_flow() -> None:
    plain, flipped = (
        ClipDataset([moving_sequence()], Data(train=["x"], size=(48, 48), flip=flip, bank=4), 2, True, 0, 9)[1]
        for flip in (0.0, 1.0)
    )
    assert np.array_equal(plain["frames"].flip(-1), flipped["frames"])
    assert np.allclose(-plain["flows"][1:, 0].flip(-1), flipped["flows"][1:, 0])


def test_a_patch_is_the_same_square_of_every_frame() -> None:
    sequence = moving_sequence()
    whole = ClipDataset([sequence], Data(train=["x"], size=(48, 48), flip=0), 2, True, 0, 9)
    cut = ClipDataset([sequence], Data(train=["x"], size=(48, 48), flip=0, patch=16), 2, True, 0, 9)
    places = set()
    for i in range(9):
        frames, patch = whole[i]["frames"], cut[i]["frames"]
        assert patch.shape == (10, 3, 16, 16)
        match = [
            (y, x) for y in range(33) for x in range(33) if torch.equal(frames[..., y : y + 16, x : x + 16], patch)
        ]
        assert len(match) == 1
        ((y, x),) = match
        assert torch.equal(whole[i]["flows"][..., y : y + 16, x : x + 16], cut[i]["flows"])
        places.add((y, x))
    assert len(places) == 9


def test_a_patch_shows_the_motion_that_is_asked_for() -> None:
    """Only a block in the lower right corner moves: it is found, and where nothing moves enough the best place is taken."""
    rng = np.random.default_rng(0)
    frames = np.full((12, 64, 64, 3), 100, np.uint8)
    frames[:, 40:, 40:] = rng.integers(0, 256, (12, 24, 24, 3), np.uint8)
    still = Sequence("still", 10, np.full((12, 64, 64, 3), 100, np.uint8))

    def motion(patch: torch.Tensor) -> float:
        newest, first = 2 * patch[7:9].numpy() - 1
        return float(((first - newest) ** 2).mean())

    def found(wanted: float) -> list[float]:
        data = Data(train=["x"], size=(64, 64), patch=16, patch_motion=wanted)
        clips = ClipDataset([Sequence("block", 10, frames)], data, 1, False, 0, 60)
        return [motion(clips[i]["frames"]) for i in range(60)]

    anywhere, moving, most = found(0.0), found(0.05), found(100.0)
    assert sum(m < 0.05 for m in anywhere) > 20
    assert sum(m >= 0.05 for m in moving) > 57
    assert np.mean(most) > np.mean(moving)
    clips = ClipDataset([still], Data(train=["x"], size=(64, 64), patch=32, patch_motion=0.1), 1, False, 0, 3)
    assert clips[0]["frames"].shape == (9, 3, 32, 32)


def test_a_patch_fits_into_a_frame() -> None:
    with pytest.raises(ValidationError, match="patch: 64 is larger than a frame"):
        Data(train=["x"], size=(48, 160), patch=64)


def test_strides_and_short_sequences() -> None:
    def strides(rate_hz: float, low: float, high: float) -> list[int]:
        return strides_within(rate_hz, Data(train=["x"], rates=(low, high)))

    assert strides(10, 7, 13) == [1]
    assert strides(25, 7, 13) == [2, 3]
    assert strides(17, 7, 13) == [2]
    assert strides(30, 10, 10) == [3]
    assert strides(60, 10, 10) == [6]
    for rate_hz in (8.0, 12.0, 15.0, 17.0, 24.0, 25.0, 35.0):  # none fits: as in evaluation
        assert strides(rate_hz, 10, 10) == [stride_for(rate_hz, 0.1)]
    assert strides(25, 10, 10) == [3]
    with pytest.raises(SourceError, match="no training sequence holds"):
        ClipDataset([moving_sequence(5)], Data(train=["x"], size=(48, 48)), 3, False, 0, 1)
    with pytest.raises(SourceError, match="or all have weight 0"):
        ClipDataset([moving_sequence()], Data(train=["x"], size=(48, 48), weights={"moving": 0}), 3, False, 0, 1)
