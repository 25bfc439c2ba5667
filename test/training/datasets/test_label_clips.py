"""Labelled frames and clips of label maps, against plain loops."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.label_clips import LabelClips, LabelledFrames
from training.datasets.labels import LabelledSequence
from training.recipe import Data
from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.models import find_model
from vidpred_ros.motion import DisFlow, gray

SIZE = (32, 48)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    return tmp_path


def moving(count: int = 30, labelled: list[bool] | None = None, size: tuple[int, int] = SIZE, rate_hz: float = 10) -> LabelledSequence:
    """A texture and its label map (the 16-levels of its red) that move 2 pixels to the right in each frame."""
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (size[0], size[1] + 2 * count, 3), np.uint8), (7, 7), 2)
    frames = np.stack([wide[:, 2 * (count - i) : 2 * (count - i) + size[1]] for i in range(count)])
    there = np.ones(count, bool) if labelled is None else np.array(labelled)
    labels = np.where(there[:, None, None], frames[..., 0] // 16, 255).astype(np.uint8)
    return LabelledSequence("moving", rate_hz, frames, labels, there, "exact", "key")


def data(**changes: object) -> Data:
    return Data.model_validate({"train": ["x"], "size": SIZE, "flip": 0.0} | changes)


def start_of(labels: np.ndarray, sequence: LabelledSequence) -> int:
    """The frame whose label map this is."""
    return int(np.argmin([np.count_nonzero(one != labels) for one in sequence.labels[:]]))


def sampled(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Nearest neighbour at (x, y), the border repeated, one pixel at a time."""
    moved = np.empty_like(labels)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            column, row = np.rint(where[y, x])  # ties are too rare to matter: see below
            moved[y, x] = labels[int(np.clip(row, 0, labels.shape[0] - 1)), int(np.clip(column, 0, labels.shape[1] - 1))]
    return moved


@pytest.mark.parametrize("stride", [1, 2])
def test_clips_are_consecutive_maps_with_their_flow_and_guesses(stride: int) -> None:
    sequence, dis = moving(rate_hz=10 * stride), DisFlow()
    clips = LabelClips([sequence], data(), 3, 2, flows=True, frames=True, seed=0, length=20)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    for index in range(3):
        item = {key: value.numpy() for key, value in clips[index].items()}
        labels, flows, moved = item["labels"], item["flows"], item["moved"]
        assert labels.shape == (5, *SIZE) and flows.shape == (3, 2, *SIZE) and moved.shape == (4, *SIZE)
        first = start_of(labels[0], sequence)
        places = [first + stride * k for k in range(5)]
        np.testing.assert_array_equal(labels, sequence.labels[places])
        np.testing.assert_allclose(item["frames"], sequence.frames[places].transpose(0, 3, 1, 2) / 255.0, atol=1e-6)
        grays = [gray(sequence.frames[place]) for place in (first - stride, *places[:3])]
        for k, (before, now) in enumerate(pairwise(grays)):
            if k or flows[0].any():
                np.testing.assert_allclose(flows[k].transpose(1, 2, 0), dis(now, before), atol=0.02)
        expected = [sampled(labels[k], np.stack([x, y], -1) + flows[k].transpose(1, 2, 0)) for k in range(3)]
        for guess, wanted in zip(moved, expected, strict=False):
            assert (guess == wanted).mean() > 0.99
        # two steps on: the flow is read again where the first step came from
        field = flows[2].transpose(1, 2, 0)
        once = np.stack([x, y], -1) + field
        again = cv2.remap(field, once, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        assert (moved[3] == sampled(labels[2], once + again)).mean() > 0.99
        assert (moved[3] == labels[4])[:, 16:-16].mean() > (labels[2] == labels[4])[:, 16:-16].mean()


def test_a_flip_is_the_same_for_all() -> None:
    plain, flipped = (
        LabelClips([moving()], data(flip=flip), 3, 2, flows=True, frames=True, seed=0, length=20) for flip in (0.0, 1.0)
    )
    for index in range(4):
        a, b = plain[index], flipped[index]
        for key in ("labels", "frames"):
            assert torch.equal(a[key], b[key].flip(-1))
        mirrored = b["flows"].flip(-1) * torch.tensor([-1, 1])[:, None, None]
        assert torch.equal(a["flows"], mirrored)
        assert (a["moved"] == b["moved"].flip(-1)).float().mean() > 0.99  # to the rounding of ties


def test_the_oldest_frame_may_have_no_flow_and_then_stays() -> None:
    clips = LabelClips([moving()], data(), 3, 2, flows=True, frames=False, seed=0, length=60)
    still = [item for item in (clips[i] for i in range(60)) if not item["flows"][0].any()]
    assert 4 <= len(still) <= 22  # a fifth
    assert all(torch.equal(item["moved"][0], item["labels"][0]) and item["flows"][1].any() for item in still)


@pytest.mark.parametrize("crop", [[0.5, 1.0], [1.0, 1.0]])
def test_frames_labels_and_clips_are_cropped_alike(crop: list[float]) -> None:
    sequence = moving(size=(64, 128))
    settings = data(crop=crop, flip=0.5)
    labelled = LabelledFrames([sequence], settings, seed=0, length=20)
    clips = LabelClips([sequence], settings, 2, 1, flows=False, frames=True, seed=0, length=20)
    for index in range(6):
        one, clip = labelled[index], clips[index]
        assert one["image"].shape == (3, *SIZE) and one["labels"].shape == SIZE and one["labels"].dtype == torch.uint8
        for images, labels in ((one["image"][None], one["labels"][None]), (clip["frames"], clip["labels"])):
            assert (images[:, 0] * 255 / 16 - labels - 0.5).abs().mean() < 1.2  # of 16 levels; smoothed, and half a pixel off


def test_light_changes_the_frames_alone() -> None:
    plain, lit = (
        LabelClips([moving()], data(photometric=light), 3, 2, flows=True, frames=True, seed=0, length=9) for light in (0.0, 0.4)
    )
    a, b = plain[0], lit[0]
    assert torch.equal(a["labels"], b["labels"]) and (a["frames"] - b["frames"]).abs().mean() > 0.01


def test_banked_clips_are_those_that_would_be_made_and_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = LabelClips([moving()], data(), 3, 2, flows=True, frames=True, seed=0, length=9)
    banked = LabelClips([moving()], data(bank=3), 3, 2, flows=True, frames=True, seed=0, length=9)
    first = [banked[i] for i in range(3)]
    for index, item in enumerate(first):
        assert all(torch.equal(item[key], value) for key, value in made[index].items() if key in ("labels", "frames"))
    monkeypatch.setattr(LabelClips, "_clip", lambda self, index: pytest.fail("made again"))
    assert torch.equal(banked[4]["labels"], first[1]["labels"])


@given(labelled=st.lists(st.booleans(), min_size=30, max_size=30), span=st.integers(1, 4))
def test_every_window_of_labelled_frames_is_drawn_and_no_other(labelled: list[bool], span: int) -> None:
    wanted = [i for i in range(31 - span) if all(labelled[i : i + span])]
    maps = np.repeat(np.arange(30, dtype=np.uint8), 16 * 16).reshape(30, 16, 16)
    sequence = LabelledSequence("numbered", 10, None, maps, np.array(labelled), "labels")
    settings = data(size=(16, 16))
    if not wanted:
        with pytest.raises(SourceError, match=f"no training sequence holds {span} frames"):
            LabelClips([sequence], settings, span, 0, False, False, 0, 1)
        return
    clips = LabelClips([sequence], settings, span, 0, False, False, seed=0, length=len(wanted))
    drawn = [clips[i]["labels"][:, 0, 0].tolist() for i in range(len(wanted))]
    assert sorted(drawn) == [list(range(i, i + span)) for i in wanted]


def test_a_frame_predictor_may_foretell_where_the_last_map_goes(tiny_model: Path) -> None:
    sequence, dis = moving(), DisFlow()
    clips = LabelClips([sequence], data(), 3, 2, True, False, seed=0, length=9, motion_model=str(tiny_model))
    item = clips[0]
    last = start_of(item["labels"][2].numpy(), sequence)
    window = sequence.frames[last - 7 : last + 1]
    grays = [gray(frame) for frame in sequence.frames[last - 8 : last + 1]]
    flows = np.stack([dis(now, before) for before, now in pairwise(grays)])
    assert np.abs(item["flows"].numpy() - flows[-3:].transpose(0, 3, 1, 2)).max() < 0.02
    network = load_network(find_model(str(tiny_model)))
    frames = torch.from_numpy(window.transpose(0, 3, 1, 2).astype(np.float32) / 255)[None]
    with torch.no_grad():
        motions = network.motions(frames, torch.from_numpy(flows.transpose(0, 3, 1, 2))[None], [1, 2])[0].numpy()
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    for guess, motion in zip(item["moved"][2:].numpy(), motions, strict=True):
        wanted = sampled(item["labels"][2].numpy(), np.stack([x, y], -1) + motion.transpose(1, 2, 0))
        assert (guess == wanted).mean() > 0.97  # bfloat16
    with pytest.raises(ConfigError, match="foretells 5 steps, not 6"):
        LabelClips([sequence], data(), 3, 6, True, False, seed=0, length=9, motion_model=str(tiny_model))


def test_what_cannot_be_learnt_from_is_named() -> None:
    alone = LabelledSequence("alone", 10, None, moving().labels, np.ones(30, bool), "labels")
    with pytest.raises(SourceError, match="alone has label maps but no frames, and optical flow needs them"):
        LabelClips([alone], data(), 3, 2, True, False, 0, 1)
    with pytest.raises(SourceError, match="alone has label maps but no frames, and the network learns from"):
        LabelledFrames([moving(), alone], data(), 0, 1)
    with pytest.raises(SourceError, match="no training sequence holds 41 frames"):
        LabelClips([moving()], data(), 20, 20, True, False, 0, 1)
