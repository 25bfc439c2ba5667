from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from vidpred_ros.networks.warping import follow, warp


@pytest.mark.parametrize(("mode", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
def test_warp_agrees_with_opencv(mode: str, flag: int) -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.random((24, 32, 3), np.float32), (5, 5), 1.5)
    flow = cv2.GaussianBlur(rng.normal(0, 4, (24, 32, 2)).astype(np.float32), (7, 7), 2)
    x, y = np.meshgrid(np.arange(32, dtype=np.float32), np.arange(24, dtype=np.float32))
    expected = cv2.remap(image, x + flow[..., 0], y + flow[..., 1], flag, borderMode=cv2.BORDER_REPLICATE)
    tensors = [torch.from_numpy(a).permute(2, 0, 1)[None] for a in (image, flow)]
    got = warp(*tensors, mode=mode)[0].permute(1, 2, 0).numpy()
    inside = (slice(4, -4), slice(4, -4))  # OpenCV rounds positions to 1/32 pixel and has another border rule for cubic
    assert np.abs(got - expected)[inside].max() < 0.02


def test_paths_follow_an_expanding_field() -> None:
    """A backward flow v(p) = -a (p - c) is followed exactly by P_k(p) = ((1 - a)^k - 1)(p - c)."""
    a, size = 0.05, 33
    offset = torch.arange(size) - (size - 1) / 2
    field = torch.stack([offset.expand(size, size), offset[:, None].expand(size, size)])[None]
    for k, path in enumerate(follow([-a * field] * 5), start=1):
        assert torch.allclose(path, ((1 - a) ** k - 1) * field, atol=1e-4)


def test_paths_against_a_brute_force_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn(3, 2, 4, 5, generator=generator) * 3
    velocities = torch.nn.functional.interpolate(coarse, (16, 20), mode="bilinear")
    paths = follow(list(velocities[:, None]))
    for y, x in [(3, 4), (8, 10), (15, 19), (0, 0)]:
        here = np.array([x, y], float)
        for v, path in zip(velocities.numpy(), paths, strict=True):
            px, py = np.clip(here, 0, [19, 15])
            x0, y0 = min(int(px), 18), min(int(py), 14)
            fx, fy = px - x0, py - y0
            corner = v[:, y0 : y0 + 2, x0 : x0 + 2]
            step = (corner[:, 0] * (1 - fy) + corner[:, 1] * fy) @ np.array([1 - fx, fx])
            here = here + step
            assert path[0, :, y, x].numpy() == pytest.approx(here - [x, y], abs=1e-3)
