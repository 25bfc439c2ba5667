from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training import checkpoint
from training.losses.variational import kl, perceptual_distances
from training.recipe import Recipe
from training.tasks.stochastic import StochasticTask
from training.train import run
from vidpred_ros.networks.config import WINDOW

CPU = torch.device("cpu")
NETWORK = {"kind": "stochastic", "size": [16, 16], "width": 0.125, "features": 32, "latent": 2, "hidden": 32}


def recipe(network: dict[str, Any] = {}, **changes: Any) -> Recipe:  # noqa: B006 - never changed
    size = (NETWORK | network)["size"]
    values = {"network": NETWORK | network, "data": {"train": ["x"], "size": size}, "steps": 1, "precision": "fp32"}
    return Recipe.model_validate(values | changes)


def make_task(*arguments: Any, **changes: Any) -> StochasticTask:
    torch.manual_seed(0)
    return StochasticTask(recipe(*arguments, **changes), CPU)


def picture(seed: int, side: int) -> Tensor:
    coarse = torch.rand(1, 3, side // 5, side // 5, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (side, side), mode="bicubic")[0].clamp(0, 1)


def moving_clips(count: int, length: int) -> Tensor:
    """Pictures that move by a pixel down or up and right or left in each frame."""
    clips = []
    for i in range(count):
        wide, (dy, dx) = picture(i, 48), ((1, 1), (1, -1), (-1, 1), (-1, -1))[i % 4]
        places = [(16 + dy * t, 16 + dx * t) for t in range(length)]
        clips.append(torch.stack([wide[:, y : y + 16, x : x + 16] for y, x in places]))
    return torch.stack(clips)


def learn(task: StochasticTask, clips: Tensor, steps: int) -> dict[str, float]:
    """Plain Adam, slower towards the end; leaves the network in eval mode with batch statistics of the clips."""
    network = task.networks["generator"]
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    torch.manual_seed(1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(1.0, 2 * (steps - step) / steps)
        losses = task.losses("generator", {"frames": clips}, np.random.default_rng(step), False)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        network.teach(clips)
    network.eval()
    return {name: float(value.detach()) for name, value in losses.items()}


@torch.no_grad()
def test_the_terms_are_equation_1() -> None:
    weights = {"mse": 3.0, "vgg": [0.1, 0.2, 0.3, 0.4, 0.5], "beta": 0.01}
    task, clips = make_task(loss=weights), moving_clips(2, WINDOW + 2)
    assert task.vgg is not None
    torch.manual_seed(0)
    got = task.losses("generator", {"frames": clips}, np.random.default_rng(0), False)
    torch.manual_seed(0)
    taught, vgg = task.network.teach(clips), task.vgg
    mse = distance = divergence = 0.0
    for t in range(1, WINDOW + 2):  # frame by frame, as the sums are written
        made, true = taught.frames[:, t - 1], clips[:, t]
        mse += float((made - true).pow(2).mean())
        distance += float((torch.tensor(weights["vgg"]) * perceptual_distances(vgg, made, true)).sum())
        divergence += float(kl(*((g[0][:, t - 1], g[1][:, t - 1]) for g in taught[1:])).mean())
    assert {name: float(value) for name, value in got.items()} == pytest.approx(
        {"mse": 3 * mse, "kl": 0.01 * divergence, "vgg": distance}, rel=1e-4
    )


def test_without_perceptual_weights_it_is_plain_svg() -> None:
    task = make_task()
    losses = task.losses("generator", {"frames": moving_clips(2, WINDOW + 1)}, np.random.default_rng(0), False)
    assert set(losses) == {"mse", "kl"} and task.vgg is None


def test_some_frames_and_a_crop_stand_for_all() -> None:
    """The mean of many draws is the loss on every frame: nothing is left out, nothing counted twice."""
    clips = moving_clips(2, WINDOW + 2)
    whole, part = (make_task(loss={"decoded": decoded}) for decoded in (None, 3))
    for task in (whole, part):
        task.network.eval()  # batch statistics would differ with the number of frames

    def mse(task: StochasticTask, draw: int) -> float:
        torch.manual_seed(0)
        return float(task.losses("generator", {"frames": clips}, np.random.default_rng(draw), False)["mse"])

    with torch.no_grad():
        draws = [mse(part, draw) for draw in range(60)]
        assert np.std(draws) > 0 and np.mean(draws) == pytest.approx(mse(whole, 0), rel=0.02)
    weights = {"vgg": [1, 0, 0, 0, 0], "vgg_crop": [16, 16]}
    losses = make_task({"size": [32, 32]}, loss=weights).losses(
        "generator", {"frames": torch.rand(1, WINDOW + 1, 3, 32, 32)}, np.random.default_rng(0), False
    )
    assert losses["vgg"] > 0


def test_overfits_eight_windows() -> None:
    clips = moving_clips(8, WINDOW + 1)
    task = make_task()
    before = float(task.losses("generator", {"frames": clips}, np.random.default_rng(0), False)["mse"].detach())
    after = learn(task, clips, 160)["mse"]
    assert after < 0.03 * before and after / WINDOW < 0.002  # summed over 8 frames
    with torch.no_grad():
        predicted = task.network(clips[:, :WINDOW], None, [1])[:, 0]
    error, copied = ((x - clips[:, WINDOW]).pow(2).mean() for x in (predicted, clips[:, WINDOW - 1]))
    assert error < 0.25 * copied


def test_samples_reach_both_of_two_futures() -> None:
    """One past, after which the picture turns bright or dark: the mean can only be grey, samples are either."""
    clips = (0.25 + 0.5 * picture(3, 16)).expand(4, WINDOW + 1, 3, 16, 16).clone()
    clips[::2, WINDOW] += 0.2
    clips[1::2, WINDOW] -= 0.2
    task = make_task()
    learn(task, clips, 220)
    with torch.no_grad():
        noise = torch.randn(32, 1, 2, generator=torch.Generator().manual_seed(0))
        samples = task.network.sample(clips[:1, :WINDOW], [1], noise)[:, 0]
        mean = task.network(clips[:1, :WINDOW], None, [1])[:, 0]
    to_bright, to_dark = ((samples - clips[i, WINDOW]).pow(2).mean((1, 2, 3)) for i in (0, 1))
    for errors, future in ((to_bright, clips[0, WINDOW]), (to_dark, clips[1, WINDOW])):
        assert errors.min() < 0.005 and (mean - future).pow(2).mean() > 0.015  # 0.16 apart
    assert 4 <= int((to_bright < to_dark).sum()) <= 28


@pytest.mark.parametrize("name", ["svg_fp", "svg_lp", "svg_pl"])
def test_a_run_resumed_equals_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    short = recipe(
        {"prior": "fixed" if name == "svg_fp" else "learned", "size": [32, 48]},
        data={
            "train": ["synthetic:seed=4,seconds=3,rate=10,width=64,height=48"],
            "size": [32, 48],
            "workers": 0,
        },
        loss={"vgg": [1e-3] * 5, "vgg_crop": [16, 16], "decoded": 2} if name == "svg_pl" else {},
        steps=3, batch=2, futures_per_step=2, ema=0.5, save_every=2, validate_every=3, precision="bf16",
    )
    whole = checkpoint.load(run(short, tmp_path / "whole"))
    run(short.model_copy(update={"steps": 2}), tmp_path / "parts")
    resumed = checkpoint.load(run(short, tmp_path / "parts"))
    assert whole["step"] == resumed["step"] == 3
    for key, value in whole["networks"]["generator"].items():
        assert torch.equal(value, resumed["networks"]["generator"][key]), key
    assert all(torch.isfinite(value).all() for value in whole["released"].values())
