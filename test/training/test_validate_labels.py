"""Validation of the networks of label maps, on sequences in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from training import checkpoint
from training.datasets.labels import LabelledSequence
from training.recipe import Recipe
from training.train import run
from training.validate import overall
from training.validate_labels import hold_out, validate_labels
from vidpred_ros.errors import SourceError
from vidpred_ros.metrics.segmentation import ConfusionMatrix
from vidpred_ros.motion import DisFlow, gray, guessed_labels
from vidpred_ros.networks import make_network
from vidpred_ros.networks.pixels import PixelStep
from vidpred_ros.networks.structure import StructureGenerator
from vidpred_ros.semantics import CAR, MOVING, ROAD, colorize

SIZE = (32, 64)


def recipe(kind: str, **changes: Any) -> Recipe:
    settings: dict[str, dict[str, Any]] = {
        "segmenter": {"size": SIZE},
        "structure": {"size": SIZE, "width": 0.05, "context": 3, "motion_prior": "dis"},
        "s2s": {"size": SIZE, "width": 0.05, "context": 3},
        "edges": {"width": 0.05, "blocks": 1},
        "pixels": {"width": 0.05, "downsamplings": 1, "blocks": 1, "past": 2},
    }
    steps = {} if kind in ("segmenter", "edges") else {"max_steps": 3}
    values: dict[str, Any] = {
        "network": {"kind": kind} | settings[kind] | steps,
        "data": {"train": ["x"], "size": SIZE},
        "loss": {"bce": 1} if kind == "edges" else {},
        "steps": 1,
    }
    return Recipe.model_validate(values | changes)


def drive(count: int = 20, name: str = "drive") -> LabelledSequence:
    """A texture that moves 2 pixels to the right in each frame; what is bright is a car, the rest road, the left third unknown."""
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (SIZE[0], SIZE[1] + 2 * count, 3), np.uint8), (7, 7), 2)
    frames = np.stack([wide[:, 2 * (count - i) : 2 * (count - i) + SIZE[1]] for i in range(count)])
    labels = np.where(frames[..., 0] > 130, CAR, ROAD).astype(np.uint8)
    labels[:, :, : SIZE[1] // 3] = 255
    return LabelledSequence(name, 10, frames, labels, np.ones(count, bool), "exact")


class Oracle(nn.Module):
    """Answers with what it is told, once for each call."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__()
        self.answers, self.parameter = answers, nn.Parameter(torch.zeros(1))

    def forward(self, *inputs: Any) -> Any:
        return self.answers.pop(0)


def onehot(labels: np.ndarray) -> torch.Tensor:
    """N x H x W to (N, 19, H, W); what is unknown becomes class 0."""
    known = torch.from_numpy(np.where(labels == 255, 0, labels).astype(np.int64))
    return nn.functional.one_hot(known, 19).movedim(-1, 1).float()


def test_an_untrained_network_with_a_motion_prior_scores_as_its_guesses_do() -> None:
    settings, sequence = recipe("structure"), drive()
    network = make_network(settings.network)
    assert isinstance(network, StructureGenerator)
    scores, strips = validate_labels(network, hold_out([sequence], settings), settings)
    dis, matrices = DisFlow(), {1: ConfusionMatrix(), 3: ConfusionMatrix()}
    grays = [gray(frame) for frame in sequence.frames[:]]
    for now in range(3, 17):
        flows = np.stack([dis(grays[t], grays[t - 1]) for t in range(now - 2, now + 1)])
        guesses = guessed_labels(sequence.labels[now - 2 : now + 1], flows, 3)[2:]
        for k, matrix in matrices.items():
            matrix.update(sequence.labels[now + k], np.where(guesses[k - 1] == 255, 0, guesses[k - 1]).astype(np.uint8))
    for k, matrix in matrices.items():  # of 14 windows 12 are scored
        assert scores[f"drive miou@{k}"] == pytest.approx(matrix.miou(), abs=0.02)
        assert scores[f"drive miou_moving@{k}"] == pytest.approx(matrix.miou(MOVING), abs=0.02)
    assert overall(scores) == pytest.approx(1 - (scores["drive miou@1"] + scores["drive miou@3"]) / 2)
    assert strips["drive"].shape == (2 * SIZE[0], 3 * SIZE[1], 3) and network.training


@pytest.mark.parametrize("right", [True, False])
def test_a_segmenter_that_is_right_has_1(right: bool) -> None:
    settings, sequence = recipe("segmenter"), drive()
    held_out = hold_out([sequence], settings)
    maps = [window.labels for window in held_out[0].windows]
    assert [one.shape for one in maps] == [(1, *SIZE)] * 20
    answers = [onehot(one if right else np.zeros_like(one)) for one in maps]
    scores, strips = validate_labels(Oracle(answers), held_out, settings)
    road = float((sequence.labels == ROAD).sum() / (sequence.labels != 255).sum())
    assert scores == pytest.approx({"drive miou": 1 if right else road / 2, "drive miou_moving": float(right)})
    middle = sequence.frames[10]
    np.testing.assert_array_equal(strips["drive"][: SIZE[0]], np.concatenate([middle, colorize(sequence.labels[10])], 1))
    assert overall(scores) == pytest.approx(0 if right else 1 - road / 2)


def test_s2s_is_scored_at_its_steps() -> None:
    settings, sequence = recipe("s2s"), drive()
    held_out = hold_out([sequence], settings)
    assert {window.labels.shape for window in held_out[0].windows} == {(6, *SIZE)} and len(held_out[0].windows) == 12
    answers = [onehot(window.labels[3:])[None] for window in held_out[0].windows]
    scores, _ = validate_labels(Oracle(answers), held_out, settings)
    assert scores == dict.fromkeys([f"drive {m}@{k}" for k in (1, 3) for m in ("miou", "miou_moving")], 1.0)


def test_boundaries_are_scored_by_f1() -> None:
    settings = recipe("edges")
    held_out = hold_out([drive()], settings)
    nothing = [torch.zeros(1, 1, *SIZE) for _ in held_out[0].windows]
    assert validate_labels(Oracle(nothing), held_out, settings)[0] == {"drive f1": 0}
    everywhere = [torch.ones(1, 1, *SIZE) for _ in held_out[0].windows]
    scores, _ = validate_labels(Oracle(everywhere), held_out, settings)
    known = np.stack([window.labels[0] for window in held_out[0].windows]).astype(int)
    differ = np.zeros(known.shape, bool)
    for axis in (1, 2):
        here, there = np.moveaxis(known, axis, 0)[:-1], np.moveaxis(known, axis, 0)[1:]
        edge = (here != there) & (here != 255) & (there != 255)
        np.moveaxis(differ, axis, 0)[:-1] |= edge
        np.moveaxis(differ, axis, 0)[1:] |= edge
    share = differ.mean()
    assert scores == pytest.approx({"drive f1": 2 * share / (1 + share)}) and overall(scores) == 1 - scores["drive f1"]


def test_the_pixel_generator_is_given_true_label_maps_and_its_own_frames() -> None:
    settings, sequence = recipe("pixels"), drive()
    held_out = hold_out([sequence], settings)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Watching(Oracle):
        def forward(self, past: torch.Tensor, structures: torch.Tensor, prior: None) -> Any:
            seen.append((past, structures))
            return self.answers.pop(0)

    frames = [torch.from_numpy(f.transpose(0, 3, 1, 2).astype(np.float32) / 255) for f in (w.frames for w in held_out[0].windows)]
    nothing = torch.zeros(1)
    answers = [PixelStep(clip[2 + k][None], nothing, nothing, nothing, nothing) for clip in frames for k in range(3)]
    scores, _ = validate_labels(Watching(answers), held_out, settings)
    assert scores["drive ssim@1"] == scores["drive ssim@3"] == 1 and overall(scores) == pytest.approx(0, abs=1e-6)
    past, structures = seen[2]  # the first window's third step
    assert torch.allclose(past[0], frames[0][2:4]) and structures.shape == (1, 3, 19, *SIZE)
    wanted = held_out[0].windows[0].labels[2:5]
    assert torch.equal(structures[0].argmax(1)[torch.from_numpy(wanted) != 255], torch.from_numpy(wanted[wanted != 255]).long())


def test_a_sequence_that_cannot_be_scored_is_named() -> None:
    with pytest.raises(SourceError, match="short: nowhere 7 frames with label maps in a row"):
        hold_out([drive(), drive(6, "short")], recipe("structure"))
    alone = LabelledSequence("alone", 10, None, drive().labels, np.ones(20, bool), "labels")
    with pytest.raises(SourceError, match="alone has label maps but no frames, and validation needs them"):
        hold_out([alone], recipe("segmenter"))
    assert len(hold_out([alone], recipe("s2s"))[0].windows) == 12
    assert {len(one.windows) for one in hold_out([drive(name=f"{i:03}") for i in range(100)], recipe("s2s"))} == {5}


def test_the_best_checkpoint_has_the_highest_miou_and_a_resumed_run_equals_a_whole_one(tmp_path: Path) -> None:
    text = "synthetic:seed=4,seconds=3,rate=10,width=96,height=64"  # that other tests decode too
    values = recipe("structure", batch=2, validate_every=1, lr=0.01, ema=0.5, precision="fp32").model_dump()
    values["data"] |= {"train": [text], "validate_on": [text], "workers": 0, "bank": 3}
    values["futures_per_step"] = 2
    run(Recipe.model_validate(values | {"steps": 2, "save_every": 2}), tmp_path / "parts")
    resumed = checkpoint.load(run(Recipe.model_validate(values | {"steps": 4}), tmp_path / "parts"))
    whole = checkpoint.load(run(Recipe.model_validate(values | {"steps": 4}), tmp_path / "whole"))
    assert all(torch.equal(resumed["released"][key], value) for key, value in whole["released"].items())
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    values = [np.mean([value for name, value in line.items() if " miou@" in name]) for line in lines]
    best = checkpoint.load(tmp_path / "whole" / "best.pt")
    assert best["best"] == pytest.approx(1 - max(values)) and best["step"] == 1 + int(np.argmax(values))
