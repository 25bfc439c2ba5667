from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from training.datasets.boundaries import boundaries
from training.recipe import Recipe
from training.tasks import make_task
from training.tasks.edges import EdgesTask
from vidpred_ros.networks.pixels import one_hot

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
ADVERSARIAL = {"weight": 0.5, "steps": 4, "lr": 1e-3, "discriminator_lr": 1e-3, "width": 0.05}


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "network": {"kind": "edges", "width": 0.05, "blocks": 1},
        "data": {"train": ["synthetic:seed=4"], "size": [32, 48]},
        "steps": 0,
        "adversarial": ADVERSARIAL,
    }
    return Recipe.model_validate(values | changes)


def task(**changes: Any) -> EdgesTask:
    torch.manual_seed(0)
    made = make_task(recipe(**changes), CPU)
    assert isinstance(made, EdgesTask)
    return made


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 19, (2, 4, 6), dtype=torch.uint8, generator=generator)
    labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    instances = torch.zeros_like(labels)
    instances[:, 10:15, 10:15] = 3
    return {"labels": labels, "instances": instances}


def numbers(made: EdgesTask, which: str, items: dict[str, torch.Tensor], adversarial: bool) -> dict[str, float]:
    """The terms of a loss as plain numbers."""
    return {name: float(value.detach()) for name, value in made.losses(which, items, RNG, adversarial).items()}


def log_loss(logits: torch.Tensor, label: int) -> float:
    p = 1 / (1 + np.exp(-logits.detach().double().numpy()))
    return float(-np.log(p if label else 1 - p).mean())


def test_equation_9_and_the_settings_beside_it() -> None:
    made, items = task(loss={"bce": 2.0, "features": 3.0}), batch()
    generator, judge = made.networks["generator"], made.networks["discriminator"].eval()  # spectral norm stands still
    onehot, true = one_hot(items["labels"], 19), boundaries(items["labels"], items["instances"])[:, None].float()
    with torch.no_grad():
        fake = generator(onehot)
        real_maps, fake_maps = judge(true, onehot), judge(fake, onehot)
    found = numbers(made, "generator", items, True)
    assert found.keys() == {"bce", "adversarial", "features"}
    cross = -(true * fake.log() + (1 - true) * (1 - fake).log()).mean()
    assert found["bce"] == pytest.approx(2 * float(cross), rel=1e-4)
    assert found["adversarial"] == pytest.approx(0.5 * log_loss(fake_maps[-1], 1), rel=1e-4)
    matched = sum(float((a - b).abs().mean()) for a, b in zip(real_maps, fake_maps, strict=True))
    assert found["features"] == pytest.approx(3 * matched, rel=1e-4)
    told = numbers(made, "discriminator", items, True)["discriminator"]
    assert told == pytest.approx(log_loss(real_maps[-1], 1) + log_loss(fake_maps[-1], 0), rel=1e-4)


def test_every_map_of_a_clip_stands_for_itself() -> None:
    made, items = task(loss={"bce": 1.0}), batch()
    clips = {key: value[:, None] for key, value in items.items()}
    a, b = (numbers(made, "generator", x, False)["bce"] for x in (items, clips))
    assert a == pytest.approx(b)


def test_instances_are_not_needed() -> None:
    items = batch()
    del items["instances"]
    assert math.isfinite(numbers(task(), "discriminator", items, True)["discriminator"])


def test_gradients_reach_every_parameter() -> None:
    made, items = task(loss={"bce": 0.0}), batch()
    for which, network in made.networks.items():
        torch.stack(list(made.losses(which, items, RNG, True).values())).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
        network.zero_grad()


def test_steps_without_an_adversary_need_cross_entropy() -> None:
    with pytest.raises(ValueError, match="learn by loss.bce"):
        recipe(steps=3)
    recipe(steps=3, loss={"bce": 1})
