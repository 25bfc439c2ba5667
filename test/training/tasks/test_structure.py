from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy

from training.recipe import Recipe
from training.tasks import make_task
from training.tasks.structure import StructureTask
from vidpred_ros.semantics import CAR, ROAD, VEGETATION

SIZE, CONTEXT, FUTURES = (16, 32), 2, 2


def task(network: dict[str, Any] | None = None, **loss: Any) -> StructureTask:
    config = {"kind": "structure", "size": SIZE, "width": 0.06, "context": CONTEXT} | (network or {})
    data = {"train": ["x"], "size": config["size"]}
    values = {"network": config, "data": data, "loss": loss, "steps": 1, "futures_per_step": FUTURES}
    torch.manual_seed(0)
    made = make_task(Recipe.model_validate(values), torch.device("cpu"))
    assert isinstance(made, StructureTask)
    return made


def clips(moves: bool) -> dict[str, Tensor]:
    """Two clips of a car that drives to the right or to the left; with a motion prior that knows where it was."""
    labels = np.full((2, CONTEXT + FUTURES, *SIZE), VEGETATION, np.uint8)
    labels[:, :, 10:] = ROAD
    labels[:, :, -1] = 255
    for t in range(CONTEXT + FUTURES):
        labels[0, t, 6:12, 2 + 2 * t : 12 + 2 * t] = CAR
        labels[1, t, 4:12, 20 - 3 * t : 30 - 3 * t] = CAR
    batch = {"labels": torch.from_numpy(labels)}
    if moves:
        batch |= {"moved": batch["labels"][:, :-1].clone(), "flows": torch.zeros(2, CONTEXT, 2, *SIZE)}
    return batch


def test_the_losses_are_equation_1() -> None:
    made, batch, classes = task(beta=0.3, moving=2.0), clips(False), 19
    torch.manual_seed(3)
    losses = made.losses("generator", batch, np.random.default_rng(0), False)
    torch.manual_seed(3)
    taught = made.network.teach(batch["labels"], None, None)
    true = batch["labels"][:, 1:].long()
    weights = torch.tensor([2.0 if c >= 11 else 1.0 for c in range(classes)])
    nll = cross_entropy(taught.logits.movedim(2, 1), true, weights, ignore_index=255)
    assert torch.allclose(losses["nll"], (CONTEXT + FUTURES - 1) * nll, rtol=1e-4)
    assert taught.posterior is not None and taught.prior is not None
    posterior, prior = (Normal(mean, (log_variance / 2).exp()) for mean, log_variance in (taught.posterior, taught.prior))
    each = kl_divergence(posterior, prior)  # (B, maps, Z, h, w)
    assert torch.allclose(losses["kl"], 0.3 * each.sum((1, 2)).mean(), rtol=1e-3)


def test_some_divergence_is_free() -> None:
    made, batch, maps = task(beta=0.3), clips(False), CONTEXT + FUTURES - 1
    torch.manual_seed(3)
    paid = made.losses("generator", batch, np.random.default_rng(0), False)["kl"].item() / 0.3 / maps
    for free in (0.1 * paid, 10 * paid):
        made.loss.free = free
        torch.manual_seed(3)
        kl = made.losses("generator", batch, np.random.default_rng(0), False)["kl"]
        kl.backward()
        moved = made.network.prior.out.weight.grad.abs().max() > 0  # type: ignore[union-attr]
        assert kl.item() == pytest.approx(0.3 * maps * max(free, paid)) and moved == (free < paid)
        made.network.zero_grad()


def test_a_closed_loop_learns_the_futures_alone() -> None:
    made, batch = task({"form": "lstm"}, closed=True), clips(False)
    losses = made.losses("generator", batch, np.random.default_rng(0), False)
    logits = made.network(batch["labels"][:, :CONTEXT], None, None, FUTURES)
    nll = cross_entropy(logits.movedim(2, 1), batch["labels"][:, CONTEXT:].long(), ignore_index=255)
    assert losses.keys() == {"nll"} and torch.allclose(losses["nll"], FUTURES * nll, rtol=1e-4)


@pytest.mark.parametrize("closed", [False, True])
def test_the_forecast_itself_may_be_learnt_beside(closed: bool) -> None:
    made, batch = task({"motion_prior": "dis"}, forecast=0.5, closed=closed), clips(True)
    for parameter in made.network.decoder.out.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    losses = made.losses("generator", batch, np.random.default_rng(0), False)
    logits = made.network(batch["labels"][:, :CONTEXT], batch["moved"], batch["flows"], FUTURES)
    nll = cross_entropy(logits.movedim(2, 1), batch["labels"][:, CONTEXT:].long(), ignore_index=255)
    assert torch.allclose(losses["forecast"], 0.5 * FUTURES * nll, rtol=1e-4) and losses.keys() == {"nll", "kl", "forecast"}


def test_rare_classes_weigh_more() -> None:
    made, batch = task({"form": "lstm"}, closed=True, rare=1.2), clips(False)
    losses = made.losses("generator", batch, np.random.default_rng(0), False)
    logits = made.network(batch["labels"][:, :CONTEXT], None, None, FUTURES)
    true = batch["labels"][:, CONTEXT:].long()
    known = true[true != 255]
    weights = torch.tensor([1 / np.log(1.2 + (known == c).float().mean().item()) for c in range(19)], dtype=torch.float32)
    nll = cross_entropy(logits.movedim(2, 1), true, weights, ignore_index=255)
    assert torch.allclose(losses["nll"], FUTURES * nll, rtol=1e-4)


def test_frames_are_learnt_by_their_squared_error() -> None:
    made = task({"space": "rgb", "form": "lstm"})
    frames = torch.rand(2, CONTEXT + FUTURES, 3, *SIZE)
    losses = made.losses("generator", {"frames": frames}, np.random.default_rng(0), False)
    made_frames = made.network.teach(frames, None, None).logits
    each = (made_frames - frames[:, 1:]).square().mean((0, 2, 3, 4))
    assert losses.keys() == {"mse"} and torch.allclose(losses["mse"], each.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "loss"), [({}, {}), ({"motion_prior": "dis"}, {"closed": True})], ids=["paper", "motion prior, closed"]
)
def test_it_learns_a_few_clips_by_heart(network: dict[str, Any], loss: dict[str, Any]) -> None:
    made = task(network | {"width": 0.12}, **loss)
    net = made.network
    batch = clips(net.config.needs_flows)
    optimizer = torch.optim.Adam(net.parameters(), lr=8e-3)
    torch.manual_seed(1)
    last = float("inf")
    for _ in range(150):
        losses = made.losses("generator", batch, np.random.default_rng(0), False)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        last = losses["nll"].item()
        if last < 0.05:
            break
    assert last < 0.05
    with torch.no_grad():  # from the context alone, without the posterior
        labels = net(batch["labels"][:, :CONTEXT], batch.get("moved"), batch.get("flows"), FUTURES).argmax(2)
    known = batch["labels"][:, CONTEXT:] != 255
    assert (labels == batch["labels"][:, CONTEXT:])[known].float().mean() > 0.97


def test_what_nothing_but_z_can_know_is_learnt() -> None:
    """Maps of which either half is road by the toss of a coin: without z no loss is below ln 2 a pixel."""
    made, rng = task({"size": (16, 16), "width": 0.1, "classes": 2}, beta=5e-4, free=1.0), np.random.default_rng(0)
    optimizer = torch.optim.Adam(made.network.parameters(), lr=1e-3)
    nll = []
    while len(nll) < 250 and (not nll or nll[-1] > 0.1):
        left = torch.from_numpy(rng.random((16, CONTEXT + 1, 1, 1)) < 0.5).expand(-1, -1, 16, 16)
        labels = torch.where(torch.arange(16) < 8, left, ~left).byte()
        losses = made.losses("generator", {"labels": labels}, rng, False)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        nll.append(losses["nll"].item() / CONTEXT)
    assert nll[-1] <= 0.1 < np.log(2) - 0.1 < nll[0], nll[:: len(nll) // 10]
