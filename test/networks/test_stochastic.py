from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import WINDOW, StochasticConfig
from vidpred_ros.networks.stochastic import Lstm, Stochastic

SIZE = (32, 40)
TINY = {"kind": "stochastic", "size": SIZE, "width": 0.125, "features": 16, "latent": 5, "hidden": 24}


def network(**settings: Any) -> Stochastic:
    """A small network whose batch norms know what they get, so that the noise has a visible effect."""
    torch.manual_seed(0)
    made = Stochastic(StochasticConfig(**TINY | settings))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches, not what is left of 0 and 1
    with torch.no_grad():
        made.teach(clip(4, WINDOW + 2))
    return made.eval()


def clip(batch: int, length: int, seed: int = 1) -> Tensor:
    """Smooth pictures, as a camera's are."""
    coarse = torch.rand(batch * length, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, SIZE, mode="bilinear").unflatten(0, (batch, length))


def noise(batch: int, steps: int, seed: int = 2) -> Tensor:
    return torch.randn(batch, steps, TINY["latent"], generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_unrolled_cells_equal_torchs_lstm(layers: int) -> None:
    torch.manual_seed(3)
    ours, reference = Lstm(7, 12, layers), nn.LSTM(12, 12, layers, batch_first=True)
    for i, cell in enumerate(ours.cells):
        for name, value in cell.named_parameters():
            getattr(reference, f"{name}_l{i}").copy_(value)
    x = torch.randn(2, 6, 7)
    expected, (h, c) = reference(ours.embed(x))
    state = ours.start(x[:, 0])
    for t in range(6):
        y, state = ours(x[:, t], state)
        assert torch.allclose(y, expected[:, t], atol=1e-6)
    assert torch.allclose(torch.stack([s[0] for s in state]), h, atol=1e-6)
    assert torch.allclose(torch.stack([s[1] for s in state]), c, atol=1e-6)


@pytest.mark.parametrize("prior", ["learned", "fixed"])
@torch.no_grad()
def test_the_future_follows_the_noise(prior: str) -> None:
    svg, window = network(prior=prior), clip(2, WINDOW)
    mean = svg(window, None, [1, 2, 3])
    assert mean.shape == (2, 3, 3, *SIZE) and 0 <= mean.min() and mean.max() <= 1
    assert torch.equal(mean, svg(window, None, [1, 2, 3], torch.zeros(2, 3, 5)))
    one, other = noise(2, 3), noise(2, 3, seed=4)
    assert torch.equal(svg(window, None, [1, 2, 3], one), svg(window, None, [1, 2, 3], one))
    assert (svg(window, None, [1, 2, 3], one) - svg(window, None, [1, 2, 3], other)).abs().max() > 1e-3
    late = one.clone()
    late[:, 2] = other[:, 2]  # what happens at step 3 changes nothing before it
    changed = (svg(window, None, [1, 2, 3], one) - svg(window, None, [1, 2, 3], late)).abs().amax((0, 2, 3, 4))
    assert changed[0] == changed[1] == 0 < changed[2]


@torch.no_grad()
def test_a_fixed_prior_has_no_module_and_takes_the_noise_as_it_is() -> None:
    svg = network(prior="fixed")
    assert svg.prior is None
    heard: list[Tensor] = []
    svg.predictor.register_forward_hook(lambda _module, inputs, _output: heard.append(inputs[1]))
    svg(clip(1, WINDOW), None, [1, 2], noise(1, 2))
    assert len(heard) == WINDOW - 1 + 2 and torch.equal(torch.stack(heard[-2:], 1), noise(1, 2))


@torch.no_grad()
def test_a_rollout_is_the_modules_by_hand() -> None:
    """Frames one by one, in the words of the paper, with the modules' own states kept apart."""
    svg, window, given = network(), clip(1, WINDOW), noise(1, 2)
    codes = [svg.encoder(window[:, t])[0] for t in range(WINDOW)]
    skips = svg.encoder(window[:, -1])[1]
    inferred, foretold, predicted = (m.lstm.start(codes[0]) for m in (svg.posterior, svg.prior, svg.predictor))
    _, inferred = svg.posterior(codes[0], inferred)
    for before, now in pairwise(codes):
        (mean, _), inferred = svg.posterior(now, inferred)
        _, foretold = svg.prior(before, foretold)
        _, predicted = svg.predictor(before, mean, predicted)
    code, futures = codes[-1], []
    for k in range(2):
        (mean, log_variance), foretold = svg.prior(code, foretold)
        g, predicted = svg.predictor(code, mean + log_variance.exp().sqrt() * given[:, k], predicted)
        futures.append(svg.decoder(g, skips))
        code = svg.encoder(futures[-1])[0]
    assert torch.allclose(svg(window, None, [1, 2], given), torch.stack(futures, 1), atol=1e-5)


@pytest.mark.parametrize("prior", ["learned", "fixed"])
@torch.no_grad()
def test_n_samples_at_once_equal_n_calls(prior: str) -> None:
    svg, window, many = network(prior=prior), clip(1, WINDOW), noise(6, 3)
    together = svg.sample(window, [1, 2, 3], many)
    assert together.shape == (6, 3, 3, *SIZE)
    for i in range(6):
        assert torch.allclose(together[i], svg(window, None, [1, 2, 3], many[i : i + 1])[0], atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


@torch.no_grad()
def test_skips_are_those_of_the_last_true_frame() -> None:
    svg = network()
    seen: list[list[Tensor]] = []
    svg.decoder.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[1]))
    window = clip(2, WINDOW)
    svg(window, None, [1, 2, 3])
    expected = svg.encoder(window[:, -1])[1]
    assert len(seen) == 3
    for skips in seen:
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(skips, expected, strict=True))
    # under teacher forcing: of the frame before within the window, of the window's last frame after it
    seen.clear()
    longer = clip(2, WINDOW + 3)
    svg.teach(longer)
    source = longer[:, [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]]
    expected = svg.encoder(source.flatten(0, 1))[1]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(seen[0], expected, strict=True))


@pytest.mark.parametrize("prior", ["learned", "fixed"])
@torch.no_grad()
def test_teaching_gives_every_frame_and_both_gaussians(prior: str) -> None:
    svg, batch = network(prior=prior), clip(2, WINDOW + 3)
    torch.manual_seed(5)
    taught = svg.teach(batch)
    assert taught.frames.shape == (2, WINDOW + 2, 3, *SIZE)
    assert all(x.shape == (2, WINDOW + 2, 5) and x.dtype == torch.float32 for x in (*taught.posterior, *taught.prior))
    if prior == "fixed":
        assert not taught.prior[0].any() and not taught.prior[1].any()
    torch.manual_seed(5)
    some = svg.teach(batch, [1, 8, 10])
    assert torch.allclose(some.frames, taught.frames[:, [0, 7, 9]], atol=1e-6)
    assert torch.equal(some.posterior[0], taught.posterior[0])
    torch.manual_seed(6)
    assert not torch.allclose(svg.teach(batch).frames, taught.frames)  # z is drawn
    # the posterior of frame t sees frame t, the prior only those before it
    changed = batch.clone()
    changed[:, 6] = 1 - changed[:, 6]
    again = svg.teach(changed)
    moved = [(a[0] - b[0]).abs().amax((0, 2)) > 1e-6 for a, b in zip(again[1:], taught[1:], strict=True)]
    assert moved[0].tolist() == [t >= 6 for t in range(1, WINDOW + 3)]
    assert moved[1].tolist() == [prior == "learned" and t > 6 for t in range(1, WINDOW + 3)]


def test_every_weight_learns() -> None:
    svg = network().train()
    taught = svg.teach(clip(2, WINDOW + 2))
    (taught.frames.pow(2).mean() + sum(x.pow(2).mean() for x in (*taught.posterior, *taught.prior))).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in svg.parameters())


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"size": (64, 64), "latent": 64}, 22.83),
        ({"size": (64, 64), "latent": 64, "prior": "fixed"}, 22.23),
        ({}, 39.80),
        ({"width": 0.125}, 3.13),
    ],
)
def test_parameter_counts(settings: dict[str, Any], millions: float) -> None:
    with torch.device("meta"):
        made = make_network(StochasticConfig(kind="stochastic", **settings))
    assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(
    ("size", "poolings"), [((64, 64), 4), ((128, 128), 5), ((128, 160), 5), ((32, 48), 3), ((16, 16), 2)]
)
def test_the_encoder_halves_until_the_shorter_side_is_4(size: tuple[int, int], poolings: int) -> None:
    config = StochasticConfig(kind="stochastic", size=size, width=0.1)
    assert config.poolings == poolings
    span = Stochastic(config).encoder.span
    assert span.kernel_size == (size[0] >> poolings, size[1] >> poolings) and min(span.kernel_size) == 4


class Graph(nn.Module):
    def __init__(self, svg: Stochastic) -> None:
        super().__init__()
        self.svg = svg

    def forward(self, window: Tensor, noise: Tensor) -> Tensor:
        return self.svg.sample(window, [1, 2], noise)


def test_exported_samples_equal_torchs(tmp_path: Path) -> None:
    graph, inputs = Graph(network()).eval(), (clip(1, WINDOW), noise(4, 2))
    path = str(tmp_path / "svg.onnx")
    torch.onnx.export(graph, inputs, path, input_names=["window", "noise"], dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    got = session.run(None, {"window": inputs[0].numpy(), "noise": inputs[1].numpy()})[0]
    with torch.no_grad():
        assert np.abs(got - graph(*inputs).numpy()).max() < 1e-4


def test_wrong_shapes_and_settings_are_refused() -> None:
    svg = network()
    with pytest.raises(ValueError, match="windows of 8 RGB frames of 32x40"):
        svg(clip(1, WINDOW)[..., :32], None, [1])
    with pytest.raises(ValueError, match="K up to 10"):
        svg(clip(1, WINDOW), None, list(range(1, 12)))
    with pytest.raises(ValueError, match=r"1, 2, \.\.\. K"):
        svg(clip(1, WINDOW), None, [2])
    with pytest.raises(ValueError, match=r"noise \(1, 2, 5\), got \(1, 1, 5\)"):
        svg(clip(1, WINDOW), None, [1, 2], noise(1, 1))
    with pytest.raises(ValueError, match="one window"):
        svg.sample(clip(2, WINDOW), [1], noise(2, 1))
    with pytest.raises(ValidationError, match="144x160 is halved 5 times: give multiples of 32"):
        StochasticConfig(kind="stochastic", size=(144, 160))
    with pytest.raises(ValidationError, match="multiples of 16"):
        StochasticConfig(kind="stochastic", size=(8, 16))
