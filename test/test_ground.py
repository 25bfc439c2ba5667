"""Label maps on the ground, against the exact depth of the synthetic street and OpenCV's own projection."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidpred_ros import semantics
from vidpred_ros.ground import RANGE_M, CameraModel, Ground, to_ground
from vidpred_ros.sources.synthetic import SyntheticDrive

ROAD, SKY, CAR, PERSON, BUILDING = (
    semantics.ROAD,
    semantics.SKY,
    semantics.CAR,
    semantics.PERSON,
    semantics.BUILDING,
)
UNSEEN = semantics.IGNORE


@cache
def drive(width: int = 256, height: int = 128) -> SyntheticDrive:
    return SyntheticDrive(seed=1, seconds=2, width=width, height=height)


def pinhole(source: SyntheticDrive) -> CameraModel:
    fx, fy, cx, cy = source.intrinsics
    return CameraModel(source.height, source.width, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), np.zeros(5))


def height_and_pitch(source: SyntheticDrive, i: int) -> tuple[float, float]:
    pose = source.pose(i)
    return pose[2, 3], -np.arcsin(pose[2, 2])


def seen_by_depth(source: SyntheticDrive, i: int) -> np.ndarray:
    """HxWx2: what each pixel sees, metres ahead and to the left, from depth and pose alone."""
    frame, pose = source.frame(i), source.pose(i)
    fx, fy, cx, cy = source.intrinsics
    rows, columns = np.mgrid[: source.height, : source.width]
    depth = np.where(np.isinf(frame.depth), 1e6, frame.depth)
    world = np.stack([(columns - cx) / fx * depth, (rows - cy) / fy * depth, depth], axis=-1) @ pose[:3, :3].T
    heading = np.arctan2(pose[1, 2], pose[0, 2])
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([world[..., 0] * cos + world[..., 1] * sin, world[..., 1] * cos - world[..., 0] * sin], axis=-1)


@pytest.mark.parametrize("i", [0, 10, 19])
def test_road_lies_where_its_depth_says(i: int) -> None:
    source = drive()
    labels, truth = source.frame(i).labels, seen_by_depth(source, i)
    ground = Ground(pinhole(source), *height_and_pitch(source, i), labels.shape)
    points = ground.points([(0.3, np.where(labels == ROAD, ROAD, UNSEEN), None)])
    seen = (labels == ROAD) & (np.hypot(*np.moveaxis(truth, -1, 0)) <= RANGE_M)
    assert len(points.xyz) == seen.sum() > 5000
    assert np.abs(points.xyz[:, :2] - truth[seen]).max() < 1e-4
    assert not points.xyz[:, 2].any()
    assert set(points.labels) == {ROAD} and set(points.probability) == {1.0}
    assert points.horizon_s.dtype == np.float32 and np.allclose(points.horizon_s, 0.3)


def test_people_and_wheels_stand_where_their_depth_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidpred_ros.ground.RANGE_M", np.inf)
    source, off = drive(), {PERSON: [], CAR: []}
    for i in range(20):
        labels, truth = source.frame(i).labels, seen_by_depth(source, i)
        ground = Ground(pinhole(source), *height_and_pitch(source, i), labels.shape)
        for kind, errors in off.items():
            feet = np.zeros(labels.shape, bool)
            feet[:-1] = (labels[:-1] == kind) & np.isin(labels[1:], [ROAD, semantics.SIDEWALK])
            only = np.where((labels == kind) | (labels == semantics.SIDEWALK), labels, UNSEEN)
            points = ground.points([(0.1, np.where(labels == ROAD, semantics.SIDEWALK, only), None)])
            away = np.hypot(*truth[feet].T)
            near = away < 25
            errors.extend(np.hypot(*points.xyz[:, :2].T)[near] / away[near] - 1)
    assert len(off[PERSON]) > 20 and len(off[CAR]) > 500
    assert np.abs(np.median(off[PERSON])) < 0.03
    low, high = np.percentile(off[CAR], [5, 95])
    assert -0.05 < low and high < 0.3, "a car's body hangs above the ground between its wheels, never below it"


def test_a_map_of_a_cropped_and_scaled_image_is_projected_as_that_image() -> None:
    """A camera of 320x240 and a map of 160x80: rows 40 to 199 are left, and two by two pixels become one."""
    source = drive(320, 240)
    whole, truth = source.frame(5).labels, seen_by_depth(source, 5)
    road = (whole == ROAD)[40:200].reshape(80, 2, 160, 2).all(axis=(1, 3))
    inverse = (1 / truth[40:200, :, 0]).reshape(80, 2, 160, 2).mean(axis=(1, 3))  # linear over the picture
    ground = Ground(pinhole(source), *height_and_pitch(source, 5), (80, 160))
    points = ground.points([(0.1, np.where(road, ROAD, UNSEEN).astype(np.uint8), None)]).xyz
    ahead = 1 / inverse[road]
    near, far = ahead < 20, points[:, 0] < 20
    assert near.sum() == far.sum() > 2000
    assert np.abs(points[far, 0] / ahead[near] - 1).max() < 1e-3


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(3, 40),
    y=st.floats(-15, 15),
    height_m=st.floats(0.5, 4),
    pitch=st.floats(-0.2, 0.6),
    focal=st.floats(200, 2000),
    bend=st.floats(-0.05, 0.05),
)
def test_what_is_projected_comes_back(
    x: float, y: float, height_m: float, pitch: float, focal: float, bend: float
) -> None:
    """OpenCV projects a place on the ground into the image; the same pixel must lead back to it."""
    matrix = np.array([[focal, 0, 640], [0, focal * 1.1, 360], [0, 0, 1]])
    lens = np.array([bend, 0.0, 0.001, -0.001, 0.0]) if y**2 < x**2 / 2 else np.zeros(5)
    # rows: the camera's right, down and forward in the frame x forward, y left, z up
    turn = np.array(
        [
            [0, -1, 0],
            [-np.sin(pitch), 0, -np.cos(pitch)],
            [np.cos(pitch), 0, -np.sin(pitch)],
        ]
    )
    place = np.array([x, y, 0.0])
    seen = turn @ (place - [0, 0, height_m])
    if seen[2] < 1.0 or abs(seen[1] / seen[2]) > 0.8:
        return  # behind the camera, or where no lens looks
    pixel, _ = cv2.projectPoints(place, turn, turn @ [0, 0, -height_m], matrix, lens)
    camera = CameraModel(720, 1280, matrix, lens)
    back = to_ground(camera, height_m, pitch, pixel.reshape(1, 2))[0]
    assert np.allclose(back, [x, y], rtol=5e-3, atol=1e-3)


def test_a_fisheye_lens() -> None:
    matrix, lens = np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]]), np.array([0.05, -0.01, 0.002, 0.0])
    places = np.array([[4.0, 1.0, 0], [8, -3, 0], [20, 5, 0]])
    turn = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    pixels, _ = cv2.fisheye.projectPoints(
        places[:, None], cv2.Rodrigues(turn)[0], turn @ [0, 0, -1.5], matrix, lens
    )
    back = to_ground(CameraModel(480, 640, matrix, lens, fisheye=True), 1.5, 0.0, pixels[:, 0])
    assert np.allclose(back, places[:, :2], rtol=1e-4)


def level_camera() -> Ground:
    """Looks straight ahead from 2 m: the row 10 + r sees the ground at 2 * 20 / r metres."""
    camera = CameraModel(21, 41, np.array([[20.0, 0, 20], [0, 20, 10], [0, 0, 1]]), np.zeros(5))
    return Ground(camera, 2.0, 0.0, (21, 41))


def test_nothing_comes_from_above_the_horizon_or_from_too_far() -> None:
    points = level_camera().points([(0.1, np.full((21, 41), ROAD, np.uint8), None)]).xyz
    assert sorted(set(points[:, 0].round(3))) == [round(40 / r, 3) for r in range(10, 0, -1)]
    assert np.hypot(points[:, 0], points[:, 1]).max() <= RANGE_M
    assert np.isfinite(points).all()
    left = points[np.isclose(points[:, 0], 4.0)]
    assert left[:, 1].max() == pytest.approx(4.0) and left[:, 1].min() == pytest.approx(-4.0), "y points left"


@pytest.mark.parametrize(
    ("below", "stands"), [(ROAD, True), (semantics.SIDEWALK, True), (BUILDING, False), (CAR, False), (UNSEEN, False)]
)
def test_only_what_is_seen_to_touch_the_ground_stands_on_it(below: int, stands: bool) -> None:
    labels = np.full((21, 41), SKY, np.uint8)
    labels[8:15, 20] = PERSON
    labels[15:, 20] = below
    points = level_camera().points([(0.2, np.where(labels == ROAD, below, labels), None)])
    people = points.xyz[points.labels == PERSON]
    assert len(people) == stands
    if stands:  # at the lower edge of row 14: 4.5 rows below the horizon
        assert people[0] == pytest.approx([2 * 20 / 4.5, 0, 0])


def test_a_person_cut_off_by_the_edge_of_the_picture_has_no_place() -> None:
    labels = np.full((21, 41), SKY, np.uint8)
    labels[5:, 20] = PERSON
    assert not len(level_camera().points([(0.2, labels, None)]).xyz)


def test_probabilities_and_horizons_belong_to_their_pixels() -> None:
    labels = np.full((21, 41), ROAD, np.uint8)
    rows = np.repeat(np.arange(21, dtype=np.float32)[:, None] / 100, 41, axis=1)
    points = level_camera().points([(0.1, labels, rows), (0.2, labels, None)])
    first = points.horizon_s == np.float32(0.1)
    assert first.sum() * 2 == len(first)
    assert np.allclose(points.probability[first], (10 + 40 / points.xyz[first, 0]) / 100, atol=1e-6)
    assert set(points.probability[~first]) == {1.0}


def test_no_map_gives_no_points() -> None:
    points = level_camera().points([])
    assert points.xyz.shape == (0, 3) and not len(points.labels)
