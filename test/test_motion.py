from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidpred_ros.motion import LABEL_GRAYS, DisFlow, NextFlows, carry_labels, gray, move_labels


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


def test_the_next_label_map_tells_how_a_frame_goes_on() -> None:
    """The texture went 3 to the right; then the labels, and they alone, go 4 to the left and 2 down."""
    rng = np.random.default_rng(4)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (160, 200, 3), np.uint8), (0, 0), 2)
    maps = cv2.resize(rng.integers(0, 19, (20, 25), np.uint8), (200, 160), interpolation=cv2.INTER_NEAREST)
    flows = NextFlows()((wide[16:144, 20:180], wide[16:144, 17:177]), (maps[16:144, 20:180], maps[14:142, 24:184]))
    assert flows.shape == (3, 128, 160, 2) and flows.dtype == np.float32
    for flow, wanted in zip(flows, ([-3, 0], [4, -2], [4, -2]), strict=True):
        inner = flow[16:-16, 16:-16].reshape(-1, 2)
        assert np.abs(np.median(inner, axis=0) - wanted).max() < 0.1
        assert np.abs(inner - wanted).mean() < 0.6


def test_where_label_maps_show_nothing_a_frame_goes_on_as_it_went() -> None:
    rng = np.random.default_rng(5)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (160, 200, 3), np.uint8), (0, 0), 2)
    road = np.zeros((128, 160), np.uint8)
    carried, corrected, sought = NextFlows()((wide[16:144, 20:180], wide[16:144, 17:177]), (road, road))
    np.testing.assert_allclose(corrected, carried, atol=1e-4)
    assert not sought.any()


def test_classes_that_touch_differ_in_gray() -> None:
    touching = [("road", 0, (1, 8, 9, 13, 14, 11, 18)), ("sidewalk", 1, (2, 8, 9, 11, 13)), ("building", 2, (5, 7, 8, 10, 11, 13))]
    touching += [("vegetation", 8, (3, 4, 5, 7, 9, 10, 13)), ("sky", 10, (5,)), ("terrain", 9, (13,))]
    for name, id, others in touching:
        for other in others:
            assert abs(int(LABEL_GRAYS[id]) - int(LABEL_GRAYS[other])) >= 19, (name, other)
    assert len(set(LABEL_GRAYS)) == 256


def test_label_maps_follow_the_flow() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 19, (20, 30), dtype=np.uint8)
    flow = rng.normal(0, 2, (20, 30, 2)).astype(np.float32)
    for steps in (1.0, 2.5):
        expected = np.empty_like(labels)
        for y in range(20):
            for x in range(30):
                column, row = np.rint([x + steps * flow[y, x, 0], y + steps * flow[y, x, 1]]).astype(int)
                expected[y, x] = labels[np.clip(row, 0, 19), np.clip(column, 0, 29)]
        # remap rounds places to 1/32 of a pixel first
        assert (move_labels(labels, flow, steps) != expected).mean() < 0.03


def test_a_uniform_flow_carries_labels_as_it_moves_them() -> None:
    labels = np.random.default_rng(1).integers(0, 19, (16, 24), dtype=np.uint8)
    flow = np.broadcast_to(np.float32([-2, 1]), (16, 24, 2)).copy()
    carried = carry_labels(labels, flow, 3)
    for k in (1, 2, 3):
        np.testing.assert_array_equal(carried[k - 1], move_labels(labels, flow, k))


def test_growth_goes_on_growing() -> None:
    """Backward flow of a zoom about the centre: after k steps the picture is larger by factor**k, not by 1 + k*(factor-1)."""
    rows, columns = np.mgrid[0:65, 0:65].astype(np.float32) - 32
    flow = np.stack([columns, rows], -1) * np.float32(1 / 1.25 - 1)
    disc = (rows**2 + columns**2 < 8**2).astype(np.uint8)
    area = carry_labels(disc, flow, 4)[3].sum()
    assert area == pytest.approx(np.pi * (8 * 1.25**4) ** 2, rel=0.05)
