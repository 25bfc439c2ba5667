from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from training.losses.adversarial import (
    LOSSES,
    bce_discriminator,
    bce_generator,
    hinge_discriminator,
    hinge_generator,
    squares_discriminator,
    squares_generator,
)


def logits() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    real, fake = 2 * torch.randn(2, 3, 2, 4, 5, generator=generator)
    return real, fake


def slow_mean(f: Callable[[float], float], values: Tensor) -> float:
    return sum(f(float(x)) for x in values.flatten()) / values.numel()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_hinge_losses_are_equations_3_and_4() -> None:
    real, fake = logits()
    expected = slow_mean(lambda x: max(0.0, 1 - x), real) + slow_mean(lambda x: max(0.0, 1 + x), fake)
    assert float(hinge_discriminator(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(hinge_generator(fake)) == pytest.approx(slow_mean(lambda x: -x, fake), rel=1e-5)


def test_the_hinge_leaves_alone_what_is_judged_well() -> None:
    real, fake = torch.tensor([1.5, 0.5], requires_grad=True), torch.tensor([-1.5, -0.5], requires_grad=True)
    hinge_discriminator(real, fake).backward()
    assert real.grad.tolist() == [0, -0.5] and fake.grad.tolist() == [0, 0.5]


def test_bce_losses_are_mathieus() -> None:
    real, fake = logits()
    right = slow_mean(lambda x: -math.log(sigmoid(x)), real) + slow_mean(lambda x: -math.log(1 - sigmoid(x)), fake)
    assert float(bce_discriminator(real, fake)) == pytest.approx(right, rel=1e-5)
    assert float(bce_generator(fake)) == pytest.approx(slow_mean(lambda x: -math.log(sigmoid(x)), fake), rel=1e-5)


def test_bce_is_finite_and_learns_where_a_sigmoid_is_flat() -> None:
    sure = torch.tensor([-200.0], requires_grad=True)  # its sigmoid is 0 in float32, and log(0) infinite
    loss = bce_generator(sure)
    loss.backward()
    assert loss.item() == pytest.approx(200) and sure.grad.item() == pytest.approx(-1)


@pytest.mark.parametrize("loss", [hinge_discriminator, bce_discriminator])
def test_half_precision_logits_give_a_float32_loss(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    real, fake = (x.bfloat16() for x in logits())
    assert loss(real, fake).dtype == torch.float32
    assert float(loss(real, fake)) == pytest.approx(float(loss(real.float(), fake.float())), rel=1e-6)


def test_least_squares_pull_towards_1_and_0() -> None:
    real, fake = logits()
    expected = slow_mean(lambda x: (x - 1) ** 2, real) + slow_mean(lambda x: x**2, fake)
    assert float(squares_discriminator(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(squares_generator(fake)) == pytest.approx(slow_mean(lambda x: (x - 1) ** 2, fake), rel=1e-5)


def test_log_is_the_papers_log_d() -> None:
    real, fake = logits()
    of_discriminator, of_generator = LOSSES["log"]
    expected = slow_mean(lambda x: -math.log(sigmoid(x)), real) + slow_mean(lambda x: -math.log(1 - sigmoid(x)), fake)
    assert float(of_discriminator(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(of_generator(fake)) == pytest.approx(slow_mean(lambda x: -math.log(sigmoid(x)), fake), rel=1e-5)
