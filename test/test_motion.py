from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidpred_ros.motion import DisFlow, gray


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-2, 1), (0, -4)])
def test_flow_points_back_to_where_a_texture_was(dx: int, dy: int) -> None:
    rng = np.random.default_rng(2)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (160, 200, 3), np.uint8), (0, 0), 2)
    before, now = wide[16:144, 20:180], wide[16 - dy : 144 - dy, 20 - dx : 180 - dx]
    flow = DisFlow()(gray(now), gray(before))
    assert flow.shape == (128, 160, 2) and flow.dtype == np.float32
    inner = flow[16:-16, 16:-16].reshape(-1, 2)
    assert np.abs(np.median(inner, axis=0) - [-dx, -dy]).max() < 0.05
    assert np.abs(inner - [-dx, -dy]).mean() < 0.2
