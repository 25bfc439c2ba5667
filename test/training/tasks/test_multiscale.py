from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training import checkpoint
from training.recipe import Recipe, load_recipe
from training.tasks import make_task
from training.tasks.multiscale import MultiScaleTask
from training.train import run
from vidpred_ros.errors import ConfigError

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
ADVERSARIAL = {"weight": 0.05, "steps": 4, "lr": 0.04, "discriminator_lr": 0.02, "width": 0.05}


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "network": {"kind": "multiscale", "width": 0.05, "max_steps": 2},
        "data": {
            "train": ["synthetic:seed=4,seconds=3,rate=10,width=64,height=48"],
            "size": [48, 64],
            "patch": 32,
            "workers": 0,
        },
        "steps": 4,
        "batch": 2,
        "optimizer": "sgd",
        "lr": 0.04,
        "precision": "fp32",
        "save_every": 2,
    }
    return Recipe.model_validate(values | changes)


def task(**changes: Any) -> MultiScaleTask:
    torch.manual_seed(0)
    made = make_task(recipe(**changes), CPU)
    assert isinstance(made, MultiScaleTask)
    return made


def moving_windows(count: int, length: int = 9, side: int = 32) -> torch.Tensor:
    """(count, length, 3, side, side): a picture each, moving by half a pixel or by a pixel a frame."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, side // 2, side // 2, generator=generator)
    wide = F.interpolate(coarse, (side, 2 * side), mode="bicubic").clamp(0, 1)
    starts = [[(1 + n % 2) * t // 2 for t in range(length)] for n in range(count)]
    return torch.stack([torch.stack([wide[n, ..., x : x + side] for x in starts[n]]) for n in range(count)])


@pytest.mark.parametrize(
    # lambda_lp, p, lambda_gdl, alpha, lambda_adv, windows of a batch, side of a patch
    ("name", "values"),
    [
        ("mathieu_single_l2", (1, 2, 0, None, None, 4, 32)),
        ("mathieu_l2", (1, 2, 0, None, None, 4, 32)),
        ("mathieu_l1", (1, 1, 0, None, None, 4, 32)),
        ("mathieu_gdl_l1", (1, 1, 1, 1, None, 4, 32)),
        ("mathieu_gdl_l2", (1, 2, 1, 2, None, 4, 32)),
        ("mathieu_adv", (1, 2, 0, None, 0.05, 8, 32)),
        ("mathieu_adv_gdl", (1, 1, 1, 1, 0.05, 8, 32)),
        ("mathieu_adv_gdl_64", (1, 1, 1, 1, 0.05, 8, 64)),
        ("mathieu_8to8", (1, 1, 1, 1, 0.05, 8, 32)),
    ],
)
def test_recipes_are_those_of_table_2(name: str, values: tuple[float | None, ...]) -> None:
    found = load_recipe(name)
    loss, adversarial = found.loss, found.adversarial
    alpha = loss.alpha if loss.gdl else None
    weight = adversarial.weight if adversarial else None
    assert (loss.lp, loss.p, loss.gdl, alpha, weight, found.batch, found.data.patch) == values
    assert (found.optimizer, found.momentum, found.lr, found.lr_end) == ("sgd", 0, 0.04, 0.005)
    assert adversarial is None or (adversarial.updates, adversarial.discriminator_lr) == (1, 0.02)
    assert found.network.scales == (1 if name == "mathieu_single_l2" else 4) and found.network.width == 1
    assert found.futures == found.network.outputs == (8 if name == "mathieu_8to8" else 1)


def test_losses_are_sums_over_the_scales_in_minus_one_to_one() -> None:
    made = task(loss={"lp": 2.0, "p": 1, "gdl": 3.0, "alpha": 2}, adversarial=ADVERSARIAL, steps=0)
    frames = moving_windows(2)
    losses = made.losses("generator", {"frames": frames}, RNG, True)
    pyramid = made.generator.pyramid(2 * frames[:, 4:8] - 1)
    lp = gdl = bce = 0.0
    for k, (predicted, judge) in enumerate(zip(pyramid, made.networks["discriminator"].scales, strict=True)):
        clip = F.avg_pool2d(2 * frames[:, 4:9].flatten(1, 2) - 1, 2 ** (3 - k))
        true = clip[:, 12:]
        guess = predicted[:, 0]
        lp += (guess - true).abs().mean().item()
        for axis in (2, 3):
            steeper = guess.diff(dim=axis).abs() - true.diff(dim=axis).abs()
            gdl += (steeper**2).mean().item()
        logits = judge(torch.cat([clip[:, :12], guess], 1))
        bce += torch.log(1 + torch.exp(-logits)).mean().item()
    assert losses["lp"].item() == pytest.approx(2 * lp, rel=1e-5)
    assert losses["gdl"].item() == pytest.approx(3 * gdl, rel=1e-5)
    assert losses["adversarial"].item() == pytest.approx(0.05 * bce, rel=1e-4)
    assert losses.keys() == {"lp", "gdl", "adversarial"}
    assert made.losses("generator", {"frames": frames}, RNG, False).keys() == {"lp", "gdl"}


def test_eight_to_eight_learns_all_eight() -> None:
    made = task(network={"kind": "multiscale", "width": 0.05, "inputs": 8, "outputs": 8, "max_steps": 8})
    frames = moving_windows(2, 16).requires_grad_()
    made.losses("generator", {"frames": frames}, RNG, False)["lp"].backward()
    assert frames.grad is not None
    assert (frames.grad.abs().amax((0, 2, 3, 4)) > 0).all()


def test_eight_windows_are_learnt_by_heart() -> None:
    made = task(network={"kind": "multiscale", "width": 0.15})
    frames = moving_windows(8, side=8)  # the least that four scales divide
    optimizer = torch.optim.Adam(made.generator.parameters(), betas=(0.9, 0.99))
    for step in range(350):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / 350)
        optimizer.zero_grad()
        made.losses("generator", {"frames": frames}, RNG, False)["lp"].backward()
        optimizer.step()
    with torch.no_grad():
        predicted = made.generator.eval()(frames[:, :8], None, [1])
    copied = float((frames[:, 7] - frames[:, 8]).pow(2).mean())
    assert float((predicted - frames[:, 8:]).pow(2).mean()) < min(2e-4, 0.05 * copied)


def test_the_discriminator_learns_to_separate() -> None:
    made = task(adversarial=ADVERSARIAL, steps=0)
    optimizer = torch.optim.Adam(made.networks["discriminator"].parameters(), 3e-3)
    losses = []
    for _ in range(80):
        loss = made.losses("discriminator", {"frames": moving_windows(8)}, RNG, True)["discriminator"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(8 * math.log(2), rel=0.1)  # two coins at each of four scales
    assert losses[-1] < 0.2 * losses[0]
    assert all(p.grad is None for p in made.generator.parameters())


def test_the_generator_follows_the_discriminator_s_gradient() -> None:
    made = task(loss={"lp": 0.0}, adversarial=ADVERSARIAL, steps=0)
    made.networks["discriminator"].requires_grad_(False)
    losses = made.losses("generator", {"frames": moving_windows(2)}, RNG, True)
    assert losses.keys() == {"adversarial"}
    losses["adversarial"].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.generator.parameters())


def test_patches_too_small_for_the_discriminator_are_named() -> None:
    with pytest.raises(ConfigError, match="data.patch: the discriminator needs at least 32, got 16"):
        task(data=recipe().data.model_dump() | {"patch": 16}, adversarial=ADVERSARIAL, steps=0)


@pytest.mark.parametrize("outputs", [1, 8])
def test_an_adversarial_run_resumed_equals_an_uninterrupted_one(tmp_path: Path, outputs: int) -> None:
    network = {"kind": "multiscale", "width": 0.05, "inputs": 4 * min(outputs, 2), "outputs": outputs, "max_steps": 2}
    loss = {"p": 1, "gdl": 1.0}
    short = recipe(network=network, loss=loss, steps=0, adversarial=ADVERSARIAL | {"steps": 2})
    whole = recipe(network=network, loss=loss, steps=0, adversarial=ADVERSARIAL | {"steps": 6})
    run(short, tmp_path / "parts")
    resumed = checkpoint.load(run(whole, tmp_path / "parts"))
    expected = checkpoint.load(run(whole, tmp_path / "whole"))
    assert resumed["step"] == expected["step"] == 6
    for name, weights in expected["networks"].items():
        assert all(torch.equal(resumed["networks"][name][key], value) for key, value in weights.items()), name
