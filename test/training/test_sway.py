"""What the sway head learns, on a camera that rocks like a mass on a spring."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training import sway as module
from training.datasets.clips import ClipDataset
from training.datasets.frames import Sequence
from training.recipe import Data
from training.sway import fit_sway, jolts, samples
from vidpred_ros.networks.heads import JOLTS, Sway

SIZE = (64, 80)


def ride(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a camera that looks at a wall, drifts to the right and rocks up and down; and the flow's changes.

    The vertical angle is a damped oscillator (1.9 Hz at 10 Hz) that random kicks keep going.
    """
    rng = np.random.default_rng(seed)
    wall = cv2.resize(rng.integers(0, 256, (60, 160), np.uint8), None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    angle = np.zeros(length)
    for t in range(2, length):
        angle[t] = 0.7 * angle[t - 1] - 0.95 * angle[t - 2] + rng.normal(0, 0.3)
    where = [cv2.getRectSubPix(wall, SIZE[::-1], (100.0 + 1.5 * t, 240.0 + angle[t])) for t in range(length)]
    # content moves against the camera; backward flow points to where it was
    changes = np.diff(np.diff(angle))
    return np.stack([np.repeat(frame[..., None], 3, axis=2) for frame in where]), changes


def dataset(sequences: list[Sequence], crop: tuple[float, float] = (1.0, 1.0)) -> ClipDataset:
    data = Data(train=["x"], size=SIZE, crop=crop, workers=0)
    return ClipDataset(sequences, data, futures=3, flows=True, seed=0, length=4)


def test_jolts_are_the_changes_of_the_cameras_motion() -> None:
    frames, changes = ride(seed=1, length=40)
    measured = torch.cat(list(jolts(frames, SIZE))).numpy()
    assert np.abs(measured[:, 0]).max() < 0.2
    assert np.corrcoef(measured[:, 1], changes)[0, 1] > 0.97 and np.abs(measured[:, 1] - changes).mean() < 0.15


def test_samples_pair_the_jolts_of_a_window_with_the_shifts_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = torch.arange(40.0)[:, None] * torch.tensor([1.0, 10.0])
    monkeypatch.setattr(module, "jolts", lambda frames, size: iter(changes[: len(frames) - 2].split(1)))
    frames = np.zeros((20, *SIZE, 3), np.uint8)
    past, future, known, weights = samples(dataset([Sequence("ride", 10.0, frames)]), steps=3)
    assert past.shape == (len(weights), JOLTS, 2) and torch.equal(past[0], changes[:JOLTS].flip(0))
    a, b, c = changes[JOLTS], changes[JOLTS + 1], changes[JOLTS + 2]
    assert torch.equal(future[0], torch.stack([a, 2 * a + b, 3 * a + 2 * b + c]))  # position after 1, 2 and 3 more flows
    assert torch.equal(past[-1], changes[18 - 1 - JOLTS : 18 - 1].flip(0))  # the last window that a frame follows
    assert torch.equal(known[-2:, :, 0], torch.tensor([[1.0, 1, 0], [1, 0, 0]])) and torch.equal(future[-1, 0], changes[17])


def test_the_head_foretells_another_ride_of_the_same_car(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPDATES", 500)
    torch.manual_seed(0)
    sway = Sway(3)
    rides = [Sequence(f"ride {seed}", 10.0, ride(seed, 120)[0]) for seed in (1, 2)]
    share = fit_sway(sway, dataset(rides, crop=(0.8, 1.0)), steps=3, seed=0)
    past, future, known, _ = samples(dataset([Sequence("another", 10.0, ride(3, 80)[0])]), steps=3)
    with torch.no_grad():
        error = ((sway(past) - future) * known)[..., 1]
    kept = 1 - error.square().sum() / future[..., 1].square().sum()
    assert share > 0.7 and kept > 0.7
