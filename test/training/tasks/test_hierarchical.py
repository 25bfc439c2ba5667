from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.recipe import Recipe
from training.tasks.hierarchical import HierarchicalTask
from training.trainer import Trainer

NETWORK = {"form": "paper", "head": "pixels", "rollout": "recursive", "width": 0.05, "dropout": 0, "max_steps": 3}
#: Shouno 2020, section 4.2, shortened.
PHASES = {"warmup_steps": 3, "steps": 18, "updates": 8, "lr": 2e-5, "discriminator_lr": 1e-4, "width": 0.01}


def recipe(size: int = 32, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "network": NETWORK, "data": {"train": ["synthetic:seed=1"], "size": [size, size]}, "loss": {"vgg": 0},
        "steps": 2, "batch": 2, "precision": "fp32",
    }  # fmt: skip
    return Recipe.model_validate(values | changes)


def clips(count: int, size: int = 32) -> dict[str, torch.Tensor]:
    """Smooth pictures of 8 frames and the next, one pixel further to the left in each frame."""
    coarse = torch.rand(count, 3, size // 8, (size + 16) // 8, generator=torch.Generator().manual_seed(1))
    wide = F.interpolate(coarse, (size, size + 16), mode="bicubic").clamp(0, 1)
    return {"frames": torch.stack([wide[..., t : t + size] for t in range(9)], dim=1)}


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def moved(network: torch.nn.Module, before: list[torch.Tensor]) -> bool:
    return any(not torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


def test_the_three_phases_are_the_papers(tmp_path: Path) -> None:
    trainer, batch = Trainer(recipe(adversarial=PHASES), tmp_path), clips(2)
    updates, losses = [], []
    for _ in range(trainer.recipe.total_steps):
        before = {name: weights(network) for name, network in trainer.networks.items()}
        losses.append(set(trainer.learn(batch)))
        changed = [name for name, network in trainer.networks.items() if moved(network, before[name])]
        updates += [(name, trainer.optimizers[name].param_groups[0]["lr"]) for name in changed]
    alone = [("generator", 1e-4)] * 2
    fixed = [("discriminator", 1e-4)] * 3
    both = [("discriminator", 1e-4)] * 8 + [("generator", 2e-5)]
    assert updates == alone + fixed + both + both
    judge = {"discriminator", "logits/real", "logits/fake"}
    judged = [judge] * 8 + [{"mae", "adversarial"}]
    assert losses == [{"mae"}] * 2 + [judge] * 3 + judged + judged
    for optimizer in trainer.optimizers.values():
        assert type(optimizer) is torch.optim.Adam and optimizer.param_groups[0]["betas"] == (0.0, 0.9)


def test_losses_are_equations_1_to_4() -> None:
    task = HierarchicalTask(recipe(loss={"vgg": 0, "mae": 7}, adversarial=PHASES | {"weight": 3}), torch.device("cpu"))
    for network in task.networks.values():
        network.eval()  # the same pass twice gives the same numbers
    batch, rng = clips(2), np.random.default_rng(0)
    window, real = batch["frames"][:, :8], batch["frames"][:, 8:]
    with torch.no_grad():
        fake = task.networks["generator"](window, None, [1])
        of_real, of_fake = (task.networks["discriminator"](x, window).numpy() for x in (real, fake))
        losses = task.losses("discriminator", batch, rng, True) | task.losses("generator", batch, rng, True)
    hinge = np.maximum(0, 1 - of_real).mean() + np.maximum(0, 1 + of_fake).mean()
    assert float(losses["discriminator"]) == pytest.approx(hinge, rel=1e-5)
    assert float(losses["adversarial"]) == pytest.approx(-3 * of_fake.mean(), rel=1e-5)
    logged = {name: float(value) for name, value in task.logits.items()}
    assert logged == pytest.approx({"real": of_real.mean(), "fake": of_fake.mean()}, rel=1e-4)
    assert float(losses["mae"]) == pytest.approx(7 * np.abs((fake - real).numpy()).mean(), rel=1e-5)


def test_the_generator_learns_to_please_the_discriminator(tmp_path: Path) -> None:
    gan = PHASES | {"warmup_steps": 0, "steps": 100, "updates": 1, "lr": 1e-3, "discriminator_lr": 1e-9}
    trainer = Trainer(recipe(steps=0, loss={"vgg": 0, "mae": 0}, adversarial=gan), tmp_path)
    batch, pleased = clips(2), []
    for _ in range(16):
        losses = trainer.learn(batch)
        pleased += [-losses["adversarial"]] if "adversarial" in losses else []
    assert len(pleased) == 8 and pleased[-1] > pleased[0]


def test_the_generator_overfits_eight_windows(tmp_path: Path) -> None:
    network = NETWORK | {"width": 0.1}
    one = recipe(16, network=network, steps=150, batch=8, lr=1e-2, betas=[0.9, 0.99], schedule="cosine")
    trainer, batch = Trainer(one, tmp_path), clips(8, 16)
    errors = [trainer.learn(batch)["mae"] / 1000 for _ in range(150)]
    assert errors[0] > 0.15 and errors[-1] < 0.02


def test_the_discriminator_separates_eight_windows(tmp_path: Path) -> None:
    alone = PHASES | {"warmup_steps": 300, "discriminator_lr": 1e-3, "width": 0.03}
    trainer = Trainer(recipe(steps=0, batch=8, betas=[0.9, 0.99], adversarial=alone), tmp_path)
    batch, loss = clips(8), 2.0
    generator = weights(trainer.networks["generator"])
    while trainer.step < 300 and loss > 0:
        loss = trainer.learn(batch)["discriminator"]
    assert loss == 0  # every real window is above 1 and every predicted one below -1
    assert not moved(trainer.networks["generator"], generator)
