"""``synthetic:seed=1,seconds=20``: a drive through a made-up street, with labels, depth and camera poses.

The street, the drive and the pictures come from numpy and OpenCV code in the ``synthetic_*`` files of this folder and from the
seed alone: the same parameters give the same bytes on every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import SourceError
from vidpred_ros.sources.base import LabelKind, SourceFrame
from vidpred_ros.sources.synthetic_render import Camera, Renderer
from vidpred_ros.sources.synthetic_world import Course, World

PREFIX = "synthetic:"
EDITION = 1  # count up when the same parameters give other pictures
START_NS = 1_700_000_000 * 10**9  # stamp of the first frame
KINDS: dict[str, type] = {"seed": int, "seconds": float, "rate": float, "width": int, "height": int, "noise": float}


class SyntheticDrive:
    """A Source that renders a street. Frame i is what the camera sees at ``i / rate`` seconds.

    ``noise`` is the standard deviation of the sensor noise in grey levels (0..255). Raises SourceError for values out of range.
    """

    label_kind: LabelKind | None = "exact"

    def __init__(
        self, seed: int = 1, seconds: float = 20, rate: float = 10, width: int = 256, height: int = 128, noise: float = 1.5
    ) -> None:
        ranges = {"seed": (0, 2**63 - 1), "seconds": (0.1, 600), "rate": (1, 240), "width": (32, 4096), "height": (32, 4096), "noise": (0, 50)}
        given = {"seed": seed, "seconds": seconds, "rate": rate, "width": width, "height": height, "noise": noise}
        for key, (low, high) in ranges.items():
            if not low <= given[key] <= high:
                raise SourceError(f"synthetic drive: {key}={given[key]} is out of range; it must lie between {low} and {high}")
        self.seed, self.seconds, self.rate_hz, self.width, self.height, self.noise = seed, seconds, rate, width, height, noise
        self.name = PREFIX + ",".join(f"{key}={value:g}" if key != "seed" else f"seed={seed}" for key, value in given.items())
        self._course = Course(seed, seconds)
        focal = self._course.focal * width
        self.camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)

    @classmethod
    def parse(cls, text: str) -> SyntheticDrive:
        """``synthetic:key=value,...`` to a drive. Raises SourceError for an unknown key or a value that is not a number."""
        values: dict[str, Any] = {}
        for item in filter(None, text.removeprefix(PREFIX).split(",")):
            key, _, value = (part.strip() for part in item.partition("="))
            if key not in KINDS:
                raise SourceError(f"{text}: unknown key {key!r}; known keys are {', '.join(KINDS)}")
            try:
                values[key] = KINDS[key](value)
            except ValueError:
                raise SourceError(f"{text}: {key} needs {'a whole' if KINDS[key] is int else 'a'} number, got {value!r}") from None
        return cls(**values)

    @cached_property
    def _renderer(self) -> Renderer:  # takes a second or two; poses and stamps do without
        return Renderer(World(self._course), self.camera)

    @cached_property
    def _grain(self) -> NDArray[np.float32]:
        shape = (self.height + 64, self.width + 64, 3)
        return np.random.default_rng([self.seed, 99]).standard_normal(shape, np.float32) * np.float32(self.noise)

    def __len__(self) -> int:
        return max(1, round(self.seconds * self.rate_hz))

    def __iter__(self) -> Iterator[SourceFrame]:
        for i in range(len(self)):
            yield self.frame(i)

    def fingerprint(self) -> str:
        """sha256 of the parameters and the edition of the code, which together fix every pixel."""
        return hashlib.sha256(f"{self.name},edition={EDITION}".encode()).hexdigest()

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy of the pinhole camera in pixels; the centre of the top left pixel is (0, 0)."""
        return self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy

    def stamp_ns(self, i: int) -> int:
        return START_NS + round(i * 10**9 / self.rate_hz)

    def pose(self, i: int) -> NDArray[np.float64]:
        """4x4 camera-to-world matrix of frame i (metres; camera x right, y down, z forward; world z up, ground at 0)."""
        t = i / self.rate_hz
        course = self._course
        size, period, phase = course.wander
        s = float(course.drive.distance(t))
        d = -course.plan.lane / 2 + size * np.sin(2 * np.pi * t / period + phase)
        drift = size * 2 * np.pi / period * np.cos(2 * np.pi * t / period + phase) / 12.0
        x, y, heading = course.road.to_world(s, d)
        heading = heading + drift * min(float(course.drive.speed(t)) / 12.0, 1.0)
        pitch = course.pitch + 0.004 * np.sin(2 * np.pi * t / 1.7 + phase)
        forward = np.array([np.cos(heading) * np.cos(pitch), np.sin(heading) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.sin(heading), -np.cos(heading), 0.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = x, y, course.camera_height
        return pose

    def frame(self, i: int) -> SourceFrame:
        """Frame i: RGB, labels and depth (infinite in the sky)."""
        if not 0 <= i < len(self):
            raise IndexError(f"frame {i} of a drive with {len(self)} frames")
        t = i / self.rate_hz
        image, labels, inverse = self._renderer.render(self.pose(i), t)
        y, x = np.random.default_rng([self.seed, 98, i]).integers(0, 64, 2)
        pixels = cv2.add(image, self._grain[y : y + self.height, x : x + self.width], dtype=cv2.CV_8U)  # rounds and saturates
        pixels = cv2.LUT(pixels, self._tone_curve(t))
        with np.errstate(divide="ignore"):
            depth = np.float32(1) / inverse
        return SourceFrame(self.stamp_ns(i), pixels, labels, depth)

    def _tone_curve(self, t: float) -> NDArray[np.uint8]:
        """What the camera makes of 0..255 at time t: its exposure drifts, and it deepens the contrast."""
        size, period, phase = self._course.exposure
        level = np.arange(256) / 255 * (1 + size * np.sin(2 * np.pi * t / period + phase))
        curve = level + self._course.contrast * level * (1 - level) * (2 * level - 1)
        return np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)
