from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import parametrize

from vidpred_ros.networks.discriminator import Discriminator

WIDTH = 0.04
SIZE = (32, 64)


def clip(batch: int = 2, futures: int = 1, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth pictures: futures (B, K, 3, H, W) and the frames (B, 8, 3, H, W) before them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch * (8 + futures), 3, SIZE[0] // 8, SIZE[1] // 8, generator=generator)
    video = F.interpolate(coarse, SIZE, mode="bilinear").unflatten(0, (batch, 8 + futures))
    return video[:, 8:], video[:, :8]


def make(width: float = WIDTH) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(width).eval()


def parameters(width: float) -> int:
    """From the text: two 27-tap convolutions in each block, a 1-tap skip where channels change, one decision."""
    total, inputs = 0, 3
    for blocks, channels in zip((1, 2, 2, 2, 2), (64, 128, 512, 1024, 2048), strict=True):
        outputs = max(4, round(channels * width))
        for _ in range(blocks):
            total += (27 * inputs + 1) * outputs + (27 * outputs + 1) * outputs
            total += (inputs + 1) * outputs if inputs != outputs else 0
            inputs = outputs
    return total + inputs + 1


@pytest.mark.parametrize("width", [0.01, WIDTH, 0.1])
def test_parameters_are_those_of_the_text(width: float) -> None:
    assert sum(p.numel() for p in make(width).parameters()) == parameters(width)


def test_parameter_counts() -> None:
    assert parameters(1.0) / 1e6 == pytest.approx(522.8, abs=0.05) and parameters(0.25) / 1e6 == pytest.approx(32.7, abs=0.05)


@pytest.mark.parametrize(("size", "patches"), [((128, 160), (4, 5)), ((48, 80), (2, 3)), ((32, 32), (1, 1))])
def test_each_patch_of_32_pixels_is_judged(size: tuple[int, int], patches: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = make(0.01)(torch.rand(1, 2, 3, *size), torch.rand(1, 8, 3, *size))
    assert logits.shape == (1, 2, *patches) and logits.dtype == torch.float32


def test_spectral_norms_are_one() -> None:
    discriminator = make().train()
    with torch.no_grad():
        for module in discriminator.modules():
            if parametrize.is_parametrized(module, "weight"):
                module.parametrizations.weight.original.mul_(3)  # as made, some norms are near 1 already
    futures, frames = clip(1)
    with torch.no_grad():
        for _ in range(20):  # one power iteration each
            discriminator(futures, frames)
    convs = [m for m in discriminator.eval().modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
    assert len(convs) == 2 * 9 + 5 + 1  # two in each block, five skips, the decision
    for conv in convs:
        matrix = conv.weight.detach().numpy().reshape(len(conv.weight), -1)
        assert np.linalg.svd(matrix, compute_uv=False)[0] == pytest.approx(1, abs=0.02)


@torch.no_grad()
def test_it_sees_the_future_and_every_frame_before_it() -> None:
    discriminator, (futures, frames) = make(), clip()
    base = discriminator(futures, frames)
    spread = (discriminator(1 - futures, frames) - base).abs().max()
    assert spread > 1e-5
    for t in range(8):
        changed = frames.clone()
        changed[:, t] = 1 - changed[:, t]
        assert (discriminator(futures, changed) - base).abs().max() > spread / 20, f"frame {t} has no effect"


@torch.no_grad()
def test_windows_are_judged_one_by_one() -> None:
    discriminator, (futures, frames) = make().train(), clip(4)
    discriminator(futures, frames)
    discriminator.eval()
    whole = discriminator(futures, frames)
    alone = torch.cat([discriminator(futures[i : i + 1], frames[i : i + 1]) for i in range(4)])
    assert torch.allclose(whole, alone, atol=1e-6)
    assert whole.std(0).min() > 1e-5  # a constant would equal itself


@torch.no_grad()
def test_each_future_is_judged_after_the_eight_frames_before_it() -> None:
    discriminator, (futures, frames) = make(), clip(futures=3)
    together = discriminator(futures, frames)
    video = torch.cat([frames, futures], dim=1)
    for k in range(3):  # by hand: the window slides
        alone = discriminator(video[:, k + 8 : k + 9], video[:, k : k + 8])
        assert torch.allclose(together[:, k], alone[:, 0], atol=1e-6)
    assert together.std(1).min() > 1e-5


def test_gradients_reach_the_predicted_future_and_every_weight() -> None:
    discriminator, (futures, frames) = make().train(), clip()
    futures.requires_grad_()
    logits = discriminator(futures, frames) - discriminator(1 - futures.detach(), frames)  # two passes, one backward
    logits.mean().backward()
    assert futures.grad is not None and (futures.grad != 0).float().mean() > 0.5
    gradients = {name: p.grad for name, p in discriminator.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
    assert all(g.abs().max() > 0 for name, g in gradients.items() if name != "decide.bias")  # it cancels


@torch.no_grad()
def test_half_precision_leaves_the_norms_alone() -> None:
    discriminator, (futures, frames) = make(), clip()
    exact = discriminator(futures, frames)
    with torch.autocast("cpu", torch.bfloat16):
        half = discriminator(futures, frames)
    assert half.dtype == torch.float32 and (half - exact).abs().max() < 0.02


@pytest.mark.parametrize(("futures", "frames"), [((1, 1, 3, 32, 32), (1, 4, 3, 32, 32)), ((1, 1, 3, 16, 32), (1, 8, 3, 16, 32))])
def test_wrong_shapes_are_named(futures: tuple[int, ...], frames: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected 8 frames .* got"):
        make()(torch.rand(futures), torch.rand(frames))
