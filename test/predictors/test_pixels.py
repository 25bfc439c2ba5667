from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.models import make_model

from training.datasets.labels import open_labelled
from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ConfigError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.motion import LABEL_GRAYS, DisFlow, move_labels
from vidpred_ros.networks.pixels import one_hot
from vidpred_ros.predictors.pixels import PixelRoll, make_pixel_roll

PAST = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    make_model(place, "plain", "pixels", past=PAST)
    make_model(place, "bounded", "pixels", past=PAST, edges=True)
    make_model(place, "moving", "pixels", past=PAST, edges=True, motion_prior="dis")
    make_model(place, "drifting", "pixels", past=PAST, motion_prior="dis")
    make_model(place, "edger", "edges")
    return place


def clip(roll: PixelRoll, count: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    height, width = roll.size
    frames = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(PAST)]
    return frames, [np.kron(rng.integers(0, 19, (height // 8, width // 8)), np.ones((8, 8))).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("name", ["plain", "bounded", "moving"])
def test_roll_equals_the_network_step_by_step(folder: Path, name: str) -> None:
    edges = name != "plain"
    model, drawer = ReleasedModel(folder / name), ReleasedModel(folder / "edger")
    roll = PixelRoll(model, "torch", drawer if edges else None)
    frames, labels = clip(roll, PAST + 4)
    roll.start(frames, labels[:PAST])
    rolled = list(roll.roll(labels[PAST:]))
    network, edger = load_network(model), load_network(drawer)
    with torch.no_grad():
        structures = one_hot(torch.from_numpy(np.stack(labels)), 19)
        if edges:
            structures = torch.cat([structures, edger(structures)], dim=1)
        for k, made in enumerate(rolled):
            past = torch.from_numpy(np.stack(frames[-PAST:])).permute(0, 3, 1, 2).float()[None] / 255
            prior = None
            if name == "moving":
                before, now = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[-2:])
                last, following = (LABEL_GRAYS[labels[PAST + k + i]] for i in (-1, 0))
                flow = DisFlow()(now, before)
                left = DisFlow()(following, move_labels(last, flow, 1))
                rows, columns = np.mgrid[: roll.size[0], : roll.size[1]].astype(np.float32)
                read = cv2.remap(flow, columns + left[..., 0], rows + left[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                flows = np.stack([flow, left + read, DisFlow()(following, last)])
                prior = torch.from_numpy(flows).permute(0, 3, 1, 2)[None]
            wanted = network(past, structures[None, k : k + PAST + 1], prior).frame[0].permute(1, 2, 0).numpy() * 255
            assert made.dtype == np.uint8 and np.abs(made - wanted).max() <= 0.51
            frames.append(made)
    roll.close()


def test_engines_agree(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    pytest.importorskip("openvino")
    results = []
    for engine in ("torch", "openvino"):
        roll = make_pixel_roll(str(folder / "drifting"), engine)
        frames, labels = clip(roll, PAST + 1)
        roll.start(frames, labels[:PAST])
        results.append(np.stack(list(roll.roll(labels[PAST:]))).astype(int))
        roll.close()
    assert np.abs(results[0] - results[1]).max() <= 1  # in fp32: not one pixel of noise is fetched from beside its place


def test_memory_does_not_grow(folder: Path) -> None:
    roll = PixelRoll(ReleasedModel(folder / "plain"), "torch")
    frames, labels = clip(roll, PAST + 5)
    roll.start(frames, labels[:PAST])
    count = 0
    for _ in roll.roll(labels[PAST + i % 5] for i in range(200)):
        count += 1
        assert len(roll._frames) == len(roll._labels) == PAST
    assert count == 200
    roll.close()


def test_a_short_past_is_filled_with_its_oldest_frame_and_a_long_one_cut(folder: Path) -> None:
    roll = PixelRoll(ReleasedModel(folder / "plain"), "torch")
    (a, b), labels = clip(roll, 4)
    results = []
    for frames, maps in (([a], labels[:1]), ([a, a], [labels[0]] * 2), ([b, a, a], [labels[1], *[labels[0]] * 2])):
        roll.start(frames, maps)
        results.append(roll.step(labels[3]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    roll.close()


@pytest.fixture(scope="module")
def drive() -> tuple[np.ndarray, np.ndarray]:
    """9 frames and their exact label maps of a synthetic drive, at the released generator's size."""
    sequence = open_labelled(["synthetic:seed=5,seconds=0.9,rate=10,width=256,height=128"], "train", consecutive=True)[0]
    assert sequence.frames is not None
    frames, labels = (np.asarray(part[:9]) for part in (sequence.frames, sequence.labels))
    return frames, labels


def test_the_released_generator_leaves_a_scene_alone_in_which_nothing_moves(drive: tuple[np.ndarray, np.ndarray]) -> None:
    """A car at a traffic light: what the generator adds in a step must not add up."""
    frame, labels = drive[0][0], drive[1][0]
    roll = make_pixel_roll("hvp_pixels_slim", "torch")
    roll.start([frame], [labels])
    *_, last = roll.roll([labels] * 20)
    roll.close()
    assert np.abs(last.astype(int) - frame).max() <= 1


def test_the_released_generator_shows_what_the_label_maps_say(drive: tuple[np.ndarray, np.ndarray]) -> None:
    """On exact label maps of a drive that it has not seen, against the last label map over and over, and the last frame."""
    frames, labels = drive
    roll = make_pixel_roll("hvp_pixels_slim", "torch")
    errors = []
    for maps in (labels[4:], [labels[3]] * 5):
        roll.start([*frames[:4]], [*labels[:4]])
        made = np.stack(list(roll.roll(maps)))
        errors.append(np.abs(made.astype(int) - frames[4:]).mean((1, 2, 3)))
    roll.close()
    told, copied = errors
    still = np.abs(frames[3].astype(int) - frames[4:]).mean((1, 2, 3))
    assert (told < 0.8 * copied).all() and (told < 0.7 * still).all(), (told, copied, still)


def test_what_does_not_fit_is_an_error(folder: Path) -> None:
    plain, bounded, drawer = (ReleasedModel(folder / name) for name in ("plain", "bounded", "edger"))
    with pytest.raises(ConfigError, match="edger is of kind edges"):
        PixelRoll(drawer, "torch")
    with pytest.raises(ConfigError, match="takes boundaries: name an edge generator"):
        PixelRoll(bounded, "torch")
    with pytest.raises(ConfigError, match="takes no boundaries: leave out edger"):
        PixelRoll(plain, "torch", drawer)
    with pytest.raises(ConfigError, match="needs one of kind edges, not pixels"):
        PixelRoll(bounded, "torch", plain)
    roll = PixelRoll(plain, "torch")
    frames, labels = clip(roll, 3)
    with pytest.raises(ConfigError, match="no past yet"):
        roll.step(labels[0])
    with pytest.raises(ConfigError, match="as many frames as label maps"):
        roll.start(frames, labels[:1])
    roll.start(frames, labels[:2])
    with pytest.raises(ConfigError, match="takes a label map of 32x64 uint8, not 32x63 uint8"):
        roll.step(labels[2][:, 1:])
    roll.close()
