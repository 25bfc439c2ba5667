"""The synthetic drive: same bytes for the same seed, exact perspective motion, sensible labels and depth."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache

import cv2
import numpy as np
import pytest

from vidpred_ros import semantics
from vidpred_ros.errors import SourceError
from vidpred_ros.sources.synthetic import START_NS, SyntheticDrive

MOVING = [semantics.PERSON, semantics.CAR, semantics.TRUCK, semantics.BUS]

DIGEST = """
import hashlib
from vidpred_ros.sources.synthetic import SyntheticDrive
digest = hashlib.sha256()
for frame in SyntheticDrive(seed=5, seconds=0.5):
    for part in (frame.image, frame.labels, frame.depth):
        digest.update(part.tobytes())
print(digest.hexdigest())
"""


@cache
def clean_drive(seed: int) -> SyntheticDrive:
    """Ten seconds at 20 Hz without sensor noise; drawing a street takes a while, so the tests share them."""
    return SyntheticDrive(seed=seed, seconds=10, rate=20, noise=0)


@pytest.fixture(scope="module")
def drive() -> SyntheticDrive:
    return SyntheticDrive(seed=5, seconds=0.5)


def test_the_same_seed_gives_the_same_bytes_in_another_process(drive: SyntheticDrive) -> None:
    digest = hashlib.sha256()
    for frame in drive:
        for part in (frame.image, frame.labels, frame.depth):
            digest.update(part.tobytes())
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    result = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == digest.hexdigest()


def test_frames_do_not_depend_on_the_order_in_which_they_are_asked_for(drive: SyntheticDrive) -> None:
    backwards = [drive.frame(i) for i in reversed(range(len(drive)))]
    for again, first in zip(reversed(backwards), drive, strict=True):
        assert again.stamp_ns == first.stamp_ns and np.array_equal(again.image, first.image)


def test_the_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    SyntheticDrive(seed=2, seconds=0.2, width=64, height=32).frame(0)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


def test_seeds_differ() -> None:
    a, b = (clean_drive(seed).frame(0).image.astype(int) for seed in (1, 2))
    assert np.abs(a - b).mean() > 10
    assert SyntheticDrive(seed=3).fingerprint() != SyntheticDrive(seed=4).fingerprint()


def test_a_frame_has_the_types_that_a_source_promises(drive: SyntheticDrive) -> None:
    frame = drive.frame(0)
    assert frame.image.shape == (128, 256, 3) and frame.image.dtype == np.uint8
    assert frame.labels is not None and frame.labels.shape == (128, 256) and frame.labels.dtype == np.uint8
    assert frame.depth is not None and frame.depth.shape == (128, 256) and frame.depth.dtype == np.float32
    assert set(np.unique(frame.labels)) <= set(range(len(semantics.CLASS_NAMES)))
    assert np.array_equal(np.isinf(frame.depth), frame.labels == semantics.SKY)
    assert (frame.depth > 0.3).all()


@pytest.mark.parametrize("rate", [10, 17, 25, 30])
def test_stamps_are_exact_at_any_rate(rate: int) -> None:
    drive = SyntheticDrive(seed=5, seconds=2, rate=rate)
    assert len(drive) == 2 * rate
    assert [drive.stamp_ns(i) for i in (0, 1, rate)] == [START_NS, START_NS + round(1e9 / rate), START_NS + 10**9]


def test_the_same_instant_looks_the_same_at_two_rates() -> None:
    slow = clean_drive(1)
    fast = SyntheticDrive(seed=1, seconds=10, rate=60, noise=0)
    assert np.array_equal(slow.frame(3).image, fast.frame(9).image)


@pytest.mark.parametrize("size", [(160, 128), (333, 75)])
def test_any_size(size: tuple[int, int]) -> None:
    frame = SyntheticDrive(seed=6, seconds=0.1, width=size[0], height=size[1]).frame(0)
    assert frame.image.shape == (size[1], size[0], 3)
    assert len(np.unique(frame.labels)) >= 4


def test_ground_depth_is_that_of_a_plane_below_the_camera(drive: SyntheticDrive) -> None:
    frame, pose = drive.frame(2), drive.pose(2)
    depth = np.where(np.isinf(frame.depth), 1e6, frame.depth)
    points = back_project(drive, depth) @ pose[:3, :3].T + pose[:3, 3]
    ground = np.isin(frame.labels, [semantics.ROAD, semantics.SIDEWALK, semantics.TERRAIN]) & (frame.depth < 60)
    assert ground.sum() > 5000
    assert np.abs(points[..., 2][ground]).max() < 1e-3
    upright = np.isin(frame.labels, [semantics.CAR, semantics.BUILDING, semantics.VEGETATION, semantics.PERSON])
    assert points[..., 2][upright].min() > -0.05


def back_project(drive: SyntheticDrive, depth: np.ndarray) -> np.ndarray:
    """HxWx3 points in camera coordinates."""
    fx, fy, cx, cy = drive.intrinsics
    ys, xs = np.mgrid[: drive.height, : drive.width]
    return np.stack([(xs - cx) / fx * depth, (ys - cy) / fy * depth, depth], axis=-1)


def warp_back(drive: SyntheticDrive, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame i rebuilt from frame i + 1 with nothing but depth and poses; where that is possible; and how far pixels moved.

    Possible: static, in view of both frames, and the depth found there agrees (the point is not hidden in the later frame).
    """
    fx, fy, cx, cy = drive.intrinsics
    now, later = drive.frame(i), drive.frame(i + 1)
    sky = np.isinf(now.depth)
    points = back_project(drive, np.where(sky, 1e6, now.depth)) @ drive.pose(i)[:3, :3].T + drive.pose(i)[:3, 3]
    seen = (points - drive.pose(i + 1)[:3, 3]) @ drive.pose(i + 1)[:3, :3]
    depth = np.maximum(seen[..., 2], 1e-3)
    map_x = (seen[..., 0] / depth * fx + cx).astype(np.float32)
    map_y = (seen[..., 1] / depth * fy + cy).astype(np.float32)
    rebuilt = cv2.remap(later.image, map_x, map_y, cv2.INTER_CUBIC)
    inverse_there = cv2.remap((1 / later.depth).astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderValue=-1)
    valid = np.abs(inverse_there * depth - 1) < 0.02
    valid |= sky & (np.abs(inverse_there) < 1e-6)
    labels_there = cv2.remap(later.labels, map_x, map_y, cv2.INTER_NEAREST, borderValue=255)
    valid &= (labels_there == now.labels) & ~np.isin(now.labels, MOVING)
    valid &= (map_x > 1) & (map_x < drive.width - 2) & (map_y > 1) & (map_y < drive.height - 2)
    ys, xs = np.mgrid[: drive.height, : drive.width]
    return rebuilt, valid, np.hypot(map_x - xs, map_y - ys)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_static_pixels_move_as_depth_and_pose_say(seed: int) -> None:
    drive = clean_drive(seed)
    for i in (20, 90, 170):
        now = drive.frame(i).image.astype(float)
        rebuilt, valid, motion = warp_back(drive, i)
        error = np.abs(rebuilt.astype(float) - now).mean(axis=2)
        still = np.abs(drive.frame(i + 1).image.astype(float) - now).mean(axis=2)
        assert valid.mean() > 0.4
        fast = valid & (motion > 1.5)
        assert fast.sum() > 300
        assert error[valid].mean() < 4.0 and error[fast].mean() < 4.0  # grey levels of 255
        assert error[fast].mean() < 0.45 * still[fast].mean()  # against taking the frame as it is


def test_a_wrong_pose_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail: half a degree of yaw or a quarter of a metre doubles the error."""
    drive = clean_drive(1)
    now = drive.frame(90).image.astype(float)
    rebuilt, valid, _ = warp_back(drive, 90)
    right = np.abs(rebuilt.astype(float) - now)[valid].mean()
    true_pose, true_frame = drive.pose, drive.frame
    frames = {i: true_frame(i) for i in (90, 91)}
    monkeypatch.setattr(drive, "frame", frames.__getitem__)

    def shifted(i: int) -> np.ndarray:
        pose = true_pose(i)
        pose[:3, 3] += pose[:3, 2] * 0.25 * (i == 91)
        return pose

    monkeypatch.setattr(drive, "pose", shifted)
    rebuilt, valid, _ = warp_back(drive, 90)
    assert np.abs(rebuilt.astype(float) - now)[valid].mean() > 1.5 * right


def test_the_drive_moves_and_turns_like_a_car() -> None:
    for seed in range(1, 6):
        drive = SyntheticDrive(seed=seed, seconds=20)
        poses = np.array([drive.pose(i) for i in range(len(drive))])
        steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * drive.rate_hz
        assert steps.max() < 14.5 and steps[:150].mean() > 3
        assert np.abs(np.diff(steps) * drive.rate_hz).max() < 4  # m/s^2
        yaw = np.unwrap(np.arctan2(poses[:, 1, 2], poses[:, 0, 2]))
        assert np.ptp(yaw) > 0.1
        assert np.abs(np.diff(yaw) * drive.rate_hz).max() < 0.6  # rad/s
        for pose in poses[::50]:
            assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3)) and np.linalg.det(pose[:3, :3]) > 0


def test_a_street_has_its_things() -> None:
    seen: set[int] = set()
    for seed in (1, 2, 3):
        for i in range(0, 200, 20):
            labels = clean_drive(seed).frame(i).labels
            seen |= set(np.unique(labels).tolist())
            assert 0.15 < (labels == semantics.ROAD).mean() < 0.65
    names = {semantics.CLASS_NAMES[k] for k in seen}
    assert {"road", "sidewalk", "building", "pole", "traffic sign", "vegetation", "sky", "person", "car"} <= names


def test_text_form() -> None:
    drive = SyntheticDrive.parse("synthetic:seed=7,seconds=3, rate=25,width=160")
    assert (drive.seed, drive.seconds, drive.rate_hz, drive.width, drive.height) == (7, 3.0, 25.0, 160, 128)
    assert len(SyntheticDrive.parse("synthetic:")) == 200
    with pytest.raises(SourceError, match="unknown key 'sed'.*seed, seconds, rate"):
        SyntheticDrive.parse("synthetic:sed=7")
    with pytest.raises(SourceError, match="seed needs a whole number, got 'x'"):
        SyntheticDrive.parse("synthetic:seed=x")
    with pytest.raises(SourceError, match="seconds=-1.*must lie between"):
        SyntheticDrive.parse("synthetic:seconds=-1")
