from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import EdgesConfig
from vidpred_ros.networks.edge_discriminator import LEAST, EdgeDiscriminator
from vidpred_ros.networks.edges import EdgeGenerator
from vidpred_ros.networks.pixels import one_hot


def network(**settings: object) -> EdgeGenerator:
    torch.manual_seed(0)
    made = make_network(EdgesConfig.model_validate({"kind": "edges", "width": 0.1, "blocks": 2} | settings))
    assert isinstance(made, EdgeGenerator)
    return made


def maps(count: int = 2, height: int = 32, width: int = 48) -> torch.Tensor:
    return one_hot(torch.randint(0, 19, (count, height, width), generator=torch.Generator().manual_seed(1)), 19)


def test_parameters_are_those_of_the_layers_written_down_by_hand() -> None:
    def conv(inputs: int, outputs: int, side: int) -> int:
        return inputs * outputs * side**2 + outputs

    wanted = conv(19, 64, 7) + conv(64, 128, 4) + conv(128, 256, 4) + 8 * 2 * conv(256, 256, 3)
    wanted += conv(256, 128, 4) + conv(128, 64, 4) + conv(64, 1, 7)
    with torch.device("meta"):
        assert sum(p.numel() for p in EdgeGenerator(EdgesConfig(kind="edges")).parameters()) == wanted


def test_a_probability_for_each_pixel() -> None:
    edges = network()(maps())
    assert edges.shape == (2, 1, 32, 48) and edges.dtype == torch.float32
    assert 0 <= edges.min() < edges.max() <= 1


def test_each_map_stands_for_itself() -> None:
    net, both = network().eval(), maps()
    torch.testing.assert_close(net(both)[:1], net(both[:1]))


def test_sides_that_four_does_not_divide_are_an_error() -> None:
    with pytest.raises(ValueError, match="30x48: sides must be multiples of 4"):
        network()(maps(height=30))


def test_it_learns_the_boundaries_of_a_map() -> None:
    net, onehot = network(), maps(1)
    labels = onehot.argmax(1)
    true = torch.zeros(1, 1, 32, 48)
    true[..., 1:] = (labels[:, :, 1:] > labels[:, :, :-1]).float()[:, None]
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(F.binary_cross_entropy_with_logits(net.logits(onehot), true))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_discriminator_decides_for_patches() -> None:
    torch.manual_seed(0)
    judge = EdgeDiscriminator(19, 0.1)
    found = judge(torch.rand(2, 1, 64, 96), maps(2, 64, 96))
    assert [m.shape[2:] for m in found] == [(32, 48), (16, 24), (8, 12), (7, 11), (6, 10)]
    assert [m.shape[1] for m in found] == [6, 13, 26, 51, 1]
    judge(torch.rand(1, 1, LEAST, LEAST), maps(1, LEAST, LEAST))
    with pytest.raises(RuntimeError):
        judge(torch.rand(1, 1, LEAST - 4, LEAST - 4), maps(1, LEAST - 4, LEAST - 4))


def test_discriminators_layers_do_not_stretch() -> None:
    """Spectral norm: after some passes no layer's matrix has a singular value above 1."""
    torch.manual_seed(0)
    judge = EdgeDiscriminator(19, 0.1)
    for _ in range(30):
        judge(torch.rand(1, 1, 32, 32), maps(1, 32, 32))
    for layer in [*judge.layers, judge.decide]:
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_discriminator_sees_edges_and_labels() -> None:
    torch.manual_seed(0)
    judge = EdgeDiscriminator(19, 0.1)
    edges, onehot = torch.rand(1, 1, 32, 32, requires_grad=True), maps(1, 32, 32).requires_grad_()
    judge(edges, onehot)[-1].sum().backward()
    assert edges.grad is not None and edges.grad.abs().max() > 0
    assert onehot.grad is not None and onehot.grad.abs().max() > 0


def test_parameters_of_the_discriminator() -> None:
    wanted = sum(16 * a * b for a, b in ((20, 64), (64, 128), (128, 256), (256, 512), (512, 1)))
    assert sum(p.numel() for p in EdgeDiscriminator(19).parameters()) == wanted
