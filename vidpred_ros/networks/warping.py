"""Backward warping and the paths along flow fields. Flow is in pixels, (x, y) in its two channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_grid(like: Tensor) -> Tensor:
    """(1, 2, H, W) pixel coordinates (x, y) of an image that has the height and width of ``like``."""
    height, width = like.shape[-2:]
    x = torch.arange(width, device=like.device, dtype=torch.float32)
    y = torch.arange(height, device=like.device, dtype=torch.float32)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]


def warp(image: Tensor, flow: Tensor, mode: str = "bicubic") -> Tensor:
    """Sample ``image`` (B, C, H, W) at p + flow(p); ``flow`` is (B, 2, H, W) in pixels. The border repeats.

    Sampling is always in float32: half-precision coordinates are off by up to half a pixel.
    """
    height, width = image.shape[-2:]
    where = (pixel_grid(image) + flow.float()).permute(0, 2, 3, 1)
    sides = (2.0 / max(width - 1, 1), 2.0 / max(height - 1, 1))
    scale = torch.stack([torch.full((), side, device=image.device) for side in sides])  # no copy from here: a CUDA graph can hold it
    return F.grid_sample(image.float(), where * scale - 1, mode=mode, padding_mode="border", align_corners=True)


def follow(velocities: Sequence[Tensor]) -> list[Tensor]:
    """Follow backward flow fields, (B, 2, H, W) for each step, for 1..K steps: K fields of the same shape.

    P_1 = v_1 and P_{k+1}(p) = P_k(p) + v_{k+1}(p + P_k(p)). A camera that moves steadily past a static scene sees the same field
    at each step, so following it is closer to the truth than k * v: on expansion k * v overshoots.
    """
    paths = [velocities[0]]
    for velocity in velocities[1:]:
        paths.append(paths[-1] + warp(velocity, paths[-1], mode="bilinear"))
    return paths
