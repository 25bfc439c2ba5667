from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.losses.gradient import gdl, lp


def pictures(seed: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, b = 2 * torch.rand(2, 2, 1, 3, height, width, generator=generator, dtype=torch.float64) - 1
    return a, b


@pytest.mark.parametrize("p", [1, 2])
@given(seed=st.integers(0, 100), height=st.integers(2, 6), width=st.integers(2, 6))
def test_lp_is_the_mean_of_every_pixel_s_power(p: int, seed: int, height: int, width: int) -> None:
    a, b = pictures(seed, height, width)
    expected = np.mean([abs(x - y) ** p for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)])
    assert float(lp(a, b, p)) == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [1, 2])
@given(seed=st.integers(0, 100), height=st.integers(2, 6), width=st.integers(2, 6))
def test_gdl_is_the_papers_sum_pixel_by_pixel(alpha: int, seed: int, height: int, width: int) -> None:
    a, b = pictures(seed, height, width)
    down, across = [], []
    for image, true in zip(a.flatten(0, 2).tolist(), b.flatten(0, 2).tolist(), strict=True):
        for i in range(height):
            for j in range(width):
                if i:
                    mine, its = abs(image[i][j] - image[i - 1][j]), abs(true[i][j] - true[i - 1][j])
                    down.append(abs(its - mine) ** alpha)
                if j:
                    mine, its = abs(image[i][j - 1] - image[i][j]), abs(true[i][j - 1] - true[i][j])
                    across.append(abs(its - mine) ** alpha)
    assert float(gdl(a, b, alpha)) == pytest.approx(np.mean(down) + np.mean(across))


def test_gdl_sees_sharpness_and_not_brightness() -> None:
    ramp = torch.linspace(-1, 0, 8).expand(1, 3, 8, 8)
    assert float(gdl(ramp + 0.5, ramp, 1)) == pytest.approx(0, abs=1e-6)
    edge = torch.cat([-torch.ones(1, 3, 8, 4), torch.ones(1, 3, 8, 4)], dim=-1)
    blurred = torch.nn.functional.avg_pool2d(edge, 3, 1, 1, count_include_pad=False)
    assert float(gdl(blurred, edge, 2)) > 0.1
