from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import WINDOW, MultiScaleConfig
from vidpred_ros.networks.multiscale import MultiScale, MultiScaleDiscriminator, scaled_frames


def config(**settings: object) -> MultiScaleConfig:
    return MultiScaleConfig.model_validate({"kind": "multiscale", "width": 0.05} | settings)


def network(seed: int = 0, **settings: object) -> MultiScale:
    torch.manual_seed(seed)
    return MultiScale(config(**settings)).eval()


def clip(length: int = WINDOW, size: tuple[int, int] = (32, 48), batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(batch, length * 3, size[0] // 8, size[1] // 8, generator=generator)
    return F.interpolate(coarse, size, mode="bilinear").unflatten(1, (length, 3))


def shrunk(pixels: Tensor, factor: int) -> Tensor:
    """Each factor x factor block's mean."""
    height, width = pixels.shape[-2] // factor, pixels.shape[-1] // factor
    return pixels.reshape(*pixels.shape[:-2], height, factor, width, factor).mean((-3, -1))


def one_pass(weights: dict[str, Tensor], window: Tensor, scales: int) -> Tensor:
    """Equation 2 from the weights alone: window (B, T, 3, H, W) in [-1, 1] -> the finest prediction (B, N, 3, H, W)."""
    guess = None
    for k in range(scales):
        x = shrunk(window, 2 ** (scales - 1 - k)).flatten(1, 2)
        if guess is not None:
            guess = guess.repeat_interleave(2, -1).repeat_interleave(2, -2)
            x = torch.cat([x, guess], 1)
        layers = sorted(int(n.split(".")[2]) for n in weights if n.startswith(f"scales.{k}.") and n.endswith("weight"))
        for layer in layers:
            weight, bias = weights[f"scales.{k}.{layer}.weight"], weights[f"scales.{k}.{layer}.bias"]
            x = F.conv2d(F.pad(x, [weight.shape[-1] // 2] * 4), weight, bias)
            if layer != layers[-1]:
                x = x.clamp(min=0)
        guess = torch.tanh(x if guess is None else x + guess)
    assert guess is not None
    return guess.unflatten(1, (-1, 3))


@pytest.mark.parametrize("scales", [1, 4])
@torch.no_grad()
def test_one_pass_is_the_papers_equation(scales: int) -> None:
    net = network(scales=scales)
    for size in [(32, 32), (32, 48), (64, 40)]:  # fully convolutional: any size that 8 divides
        frames = clip(size=size)
        expected = one_pass(dict(net.state_dict()), 2 * frames[:, -4:] - 1, scales)
        predicted = net(frames, None, [1])
        assert predicted.shape == (2, 1, 3, *size)
        assert torch.allclose(predicted, (expected + 1) / 2, atol=1e-6)
        assert predicted.std() > 0.001  # a constant would be easy to agree with


@torch.no_grad()
def test_four_frames_to_one_feeds_its_predictions_back() -> None:
    net = network()
    frames = clip()
    futures = net(frames, None, [1, 2, 3])
    window = 2 * frames[:, -4:] - 1
    for k in range(3):
        new = one_pass(dict(net.state_dict()), window, 4)
        assert torch.allclose(futures[:, k : k + 1], (new + 1) / 2, atol=1e-6)
        window = torch.cat([window[:, 1:], new], 1)
    assert not torch.allclose(futures[:, 0], futures[:, 1], atol=1e-4)
    assert torch.equal(futures, net(torch.cat([torch.rand(2, 4, 3, 32, 48), frames[:, 4:]], 1), None, [1, 2, 3]))


@torch.no_grad()
def test_eight_frames_to_eight_is_one_pass_and_then_a_recursion() -> None:
    net = network(inputs=8, outputs=8)
    frames = clip()
    futures = net(frames, None, list(range(1, 11)))
    first = one_pass(dict(net.state_dict()), 2 * frames - 1, 4)
    then = one_pass(dict(net.state_dict()), first, 4)
    assert torch.allclose(futures, (torch.cat([first, then], 1)[:, :10] + 1) / 2, atol=1e-6)
    assert torch.equal(net(frames, None, [1, 2, 3]), futures[:, :3])


@torch.no_grad()
def test_predictions_stay_between_black_and_white_at_every_scale() -> None:
    net = network()
    for parameter in net.parameters():
        parameter.mul_(20)
    futures = net(clip(), None, [1, 2, 3])
    assert futures.min() >= 0 and futures.max() <= 1 and futures.std() > 0.1
    window = 2 * clip()[:, -4:] - 1
    pyramid = net.pyramid(window)
    assert [tuple(p.shape) for p in pyramid] == [(2, 1, 3, 4 * s, 6 * s) for s in (1, 2, 4, 8)]
    assert all(p.abs().max() <= 1 for p in pyramid)
    for frames, scale in zip(scaled_frames(window, 4), (8, 4, 2, 1), strict=True):
        assert torch.allclose(frames, shrunk(window, scale), atol=1e-6)


GENERATOR = [
    ([128, 256, 128], [3, 3, 3, 3]),
    ([128, 256, 128], [5, 3, 3, 5]),
    ([128, 256, 512, 256, 128], [5, 3, 3, 3, 3, 5]),
    ([128, 256, 512, 256, 128], [7, 5, 5, 5, 5, 7]),
]


@pytest.mark.parametrize(
    ("settings", "millions"),
    [({}, 12.57), ({"inputs": 8, "outputs": 8}, 13.29), ({"scales": 1}, 8.29)],
)
def test_generator_has_the_parameters_of_table_1(settings: dict[str, int], millions: float) -> None:
    made = config(width=1.0, **settings)
    expected = 0
    for k, (maps, kernels) in enumerate(GENERATOR[-made.scales :]):
        channels = [3 * made.inputs + (3 * made.outputs if k else 0), *maps, 3 * made.outputs]
        expected += sum(a * b * n * n + b for (a, b), n in zip(pairwise(channels), kernels, strict=True))
    with torch.device("meta"):
        count = sum(p.numel() for p in make_network(made).parameters())
    assert count == expected and count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    # what unpadded convolutions and the pooling at s_4 leave of a patch, side by side, at the four scales
    ("patch", "sides", "millions"),
    [(32, (2, 2, 4, 6), 20.64), (64, (6, 10, 20, 22), 193.66)],
)
def test_discriminator_has_the_parameters_of_table_1(patch: int, sides: tuple[int, ...], millions: float) -> None:
    layers = [
        ([64], [3], [512, 256]),
        ([64, 128, 128], [3, 3, 3], [1024, 512]),
        ([128, 256, 256], [5, 5, 5], [1024, 512]),
        ([128, 256, 512, 128], [7, 7, 5, 5], [1024, 512]),
    ]
    expected = 0
    for (maps, kernels, units), side in zip(layers, sides, strict=True):
        expected += sum(a * b * n * n + b for (a, b), n in zip(pairwise([15, *maps]), kernels, strict=True))
        expected += sum(a * b + b for a, b in pairwise([maps[-1] * side * side, *units, 1]))
    with torch.device("meta"):
        count = sum(p.numel() for p in MultiScaleDiscriminator(config(), (patch, patch)).parameters())
    assert count == expected and count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (32, 48)])
def test_discriminator_judges_each_scale_by_all_frames(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator(config(), size, 0.05)
    frames = (2 * clip(5, size) - 1).requires_grad_()
    logits = judge(scaled_frames(frames, 4))
    assert [tuple(x.shape) for x in logits] == [(2,)] * 4
    for logit in logits:
        (slope,) = torch.autograd.grad(logit[0], frames, retain_graph=True)
        assert (slope[0].abs().amax((1, 2, 3)) > 0).all()  # every frame counts
        assert not slope[1].any()  # samples do not mix


def test_discriminator_at_the_finest_scale_is_table_1_by_hand() -> None:
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator(config(scales=1), (32, 32), 0.05)
    x = clip(5, (32, 32)).flatten(1, 2)
    expected = x
    for layer in judge.scales[0]:
        if isinstance(layer, torch.nn.Conv2d):
            expected = F.conv2d(expected, layer.weight, layer.bias).clamp(min=0)
        elif isinstance(layer, torch.nn.Linear):
            if expected.ndim == 4:  # the pooling stands between the convolutions and the first of these
                pooled = [expected[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
                expected = torch.stack(pooled).amax(0).reshape(2, -1)
            expected = expected @ layer.weight.T + layer.bias
            expected = expected.clamp(min=0) if layer.out_features > 1 else expected
    assert torch.allclose(judge([x.unflatten(1, (5, 3))])[0], expected[:, 0], atol=1e-6)


def test_what_does_not_fit_is_named() -> None:
    net = network()
    with pytest.raises(ValueError, match="expected 8 frames with sides that 8 divides, got 8 of 36x48"):
        net(torch.zeros(1, 8, 3, 36, 48), None, [1])
    with pytest.raises(ValueError, match="got 4 of 32x48"):
        net(torch.zeros(1, 4, 3, 32, 48), None, [1])
    for steps in ([2], [1, 3], [], list(range(1, 12))):
        with pytest.raises(ValueError, match="expected steps 1, 2, ... K with K up to 10"):
            net(torch.zeros(1, 8, 3, 32, 48), None, steps)
    with pytest.raises(ValueError, match="at least 32x32"):
        MultiScaleDiscriminator(config(), (16, 64))
