from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from training.recipe import Recipe
from training.tasks import make_task
from training.tasks.s2s import S2STask

SIZE, CONTEXT = (16, 32), 3
ROAD, SKY, CAR = range(3)


def task(futures: int, width: float = 0.06, **loss: float) -> S2STask:
    network = {"kind": "s2s", "size": SIZE, "width": width, "context": CONTEXT, "classes": 3}
    values = {"network": network, "data": {"train": ["x"], "size": SIZE}, "steps": 1, "futures_per_step": futures, "loss": loss}
    torch.manual_seed(0)
    made = make_task(Recipe.model_validate(values), torch.device("cpu"))
    assert isinstance(made, S2STask)
    return made


def clips(futures: int) -> Tensor:
    labels = np.full((2, CONTEXT + futures, *SIZE), SKY, np.uint8)
    labels[:, :, 10:] = ROAD
    labels[:, :, -1, :7] = 255
    for t in range(CONTEXT + futures):
        labels[0, t, 6:12, 2 + 2 * t : 12 + 2 * t] = CAR
        labels[1, t, 4:12, 20 - 3 * t : 30 - 3 * t] = CAR
    return torch.from_numpy(labels)


def losses(made: S2STask, labels: Tensor) -> dict[str, Tensor]:
    return made.losses("generator", {"labels": labels}, np.random.default_rng(0), False)


@pytest.mark.parametrize("p", [1, 2])
def test_both_losses_at_both_scales(p: int) -> None:
    made, labels = task(1, p=p), clips(1)
    labels[labels == 255] = ROAD
    wanted_lp = wanted_gdl = 0.0
    scores = made.network.scores(labels)
    with torch.no_grad():
        coarse, fine = made.network.step(scores[:, :CONTEXT])
    true = scores[:, CONTEXT]
    small = (true[..., ::2, ::2] + true[..., 1::2, ::2] + true[..., ::2, 1::2] + true[..., 1::2, 1::2]) / 4
    for predicted, wanted in ((coarse, small), (fine, true)):
        a, b = predicted.numpy(), wanted.numpy()
        wanted_lp += (np.abs(a - b) ** p).mean()
        for axis in (-1, -2):
            wanted_gdl += np.abs(np.abs(np.diff(a, axis=axis)) - np.abs(np.diff(b, axis=axis))).mean()
    got = losses(made, labels)
    assert np.isclose(got["lp"].item(), wanted_lp, rtol=1e-4) and np.isclose(got["gdl"].item(), wanted_gdl, rtol=1e-4)


def test_without_the_gradient_difference_loss() -> None:
    assert set(losses(task(1, gdl=0.0), clips(1))) == {"lp"}


def test_what_is_ignored_teaches_nothing() -> None:
    made = task(1)
    one, other = clips(1), clips(1)
    one[:, -1, :8] = other[:, -1, :8] = 255
    plain = losses(made, one)
    layer = made.network.scales[1][-1]
    handle = layer.register_forward_hook(lambda _layer, _inputs, out: out + far)
    far = torch.zeros(1, 3, *SIZE)
    far[:, :, :8] = 100  # nonsense where nothing is known
    nonsense = losses(made, other)
    handle.remove()
    assert torch.allclose(nonsense["lp"], plain["lp"]) and torch.allclose(nonsense["gdl"], plain["gdl"])


def test_autoregressive_training_learns_through_its_own_maps() -> None:
    made, labels = task(3), clips(3)
    window = made.network.scores(labels[:, :CONTEXT])
    made_maps = made.network.roll_out(window, 3)
    made_maps[0][1].retain_grad()
    made_maps[2][1].sum().backward()
    assert made_maps[0][1].grad is not None and made_maps[0][1].grad.any()


def test_it_learns_a_few_clips_by_heart() -> None:
    made, labels = task(2, width=0.1), clips(2)
    optimizer = torch.optim.Adam(made.network.parameters(), lr=4e-3)
    for _ in range(160):
        optimizer.zero_grad()
        torch.stack(list(losses(made, labels).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        made_labels = made.network(labels[:, :CONTEXT], None, None, 2).argmax(2)
    known = labels[:, CONTEXT:] != 255
    assert (made_labels == labels[:, CONTEXT:])[known].float().mean() > 0.97
