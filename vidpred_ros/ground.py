"""Label maps on the ground: where road lies and where cars and people stand, in metres. Knows no ROS.

The ground is taken to be flat. Points are x forward, y left, z up (REP 103), from the spot on the ground below the camera,
x along the camera's heading. Those of a future label map are as seen from the car at that future instant: nothing here
knows how far the car will have moved by then.

- Every road pixel is a point, at its centre.
- A car, a person or a rider stands where its lowest pixel of a column meets the ground: at that pixel's lower edge, and only
  if the pixel below shows road, sidewalk or terrain. What stands behind something else, or is cut off by the picture's edge,
  has no point, because its foot is not seen. A car's body between its wheels hangs above the ground and so lands
  behind its wheels, by its height over the camera's (0.25 m under a camera at 1.5 m: a sixth farther).
- Nothing above the horizon, and nothing farther than RANGE_M: one row of a 128x256 map spans 5 m there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros import semantics
from vidpred_ros.preprocess import crop_window

#: Metres along the ground beyond which a pixel says too little about where it is.
RANGE_M = 40.0
#: What cars and people stand on.
FLAT = (semantics.ROAD, semantics.SIDEWALK, semantics.TERRAIN)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CameraModel:
    """A camera's raw image as sensor_msgs/CameraInfo describes it; the centre of the top left pixel is (0, 0)."""

    height: int
    width: int
    matrix: Floats  # 3x3, K
    distortion: Floats  # D, of OpenCV's model (plumb_bob, rational_polynomial) or, with fisheye, of its fisheye model
    fisheye: bool = False

    def rays(self, pixels: Floats) -> Floats:
        """Nx2 pixels (x, y) to the Nx2 places (x right, y down) that they see on a plane one metre ahead."""
        undistort = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
        return undistort(pixels[:, None], self.matrix, self.distortion)[:, 0]


@dataclass(frozen=True)
class GroundPoints:
    """N points on the ground."""

    xyz: NDArray[np.float32]  # Nx3 metres; z is 0
    labels: NDArray[np.uint8]  # N train ids
    probability: NDArray[np.float32]  # N, that the pixel is of this class; 1 where nobody said
    horizon_s: NDArray[np.float32]  # N, seconds from the source frame to the instant predicted


def to_ground(camera: CameraModel, height_m: float, pitch: float, pixels: Floats) -> Floats:
    """Nx2 pixels of the raw image to Nx2 places on the ground (x forward, y left, metres); not finite above the horizon.

    ``height_m`` is the camera's above the ground, ``pitch`` in radians is positive for a camera that looks down.
    """
    x, y = camera.rays(pixels).T
    falls = np.sin(pitch) + y * np.cos(pitch)  # metres of height lost for each metre along the optical axis
    reach = np.full_like(falls, np.inf)
    np.divide(height_m, falls, out=reach, where=falls > 1e-9)
    with np.errstate(invalid="ignore"):  # infinity times zero
        return np.stack([reach * (np.cos(pitch) - y * np.sin(pitch)), -reach * x], axis=-1)


class Ground:
    """Projects label maps of one size that show the camera's image cropped by ``preprocess.crop_window``.

    The image may be a scaled one of the size that ``camera`` names: only its shape counts. Raises nothing: where no
    pixel sees the ground there are no points.
    """

    def __init__(self, camera: CameraModel, height_m: float, pitch: float, size: tuple[int, int]) -> None:
        self._centres = self._grid(camera, height_m, pitch, size, below=0.0)
        self._edges = self._grid(camera, height_m, pitch, size, below=0.5)

    @staticmethod
    def _grid(
        camera: CameraModel, height_m: float, pitch: float, size: tuple[int, int], below: float
    ) -> NDArray[np.float32]:
        """HxWx2 places on the ground, seen ``below`` the centre of each pixel; NaN where there is none in range."""
        top, left, crop_h, crop_w = crop_window(camera.height, camera.width, size)
        rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
        u = (columns + 0.5) * crop_w / size[1] - 0.5 + left
        v = (rows + below + 0.5) * crop_h / size[0] - 0.5 + top
        places = to_ground(camera, height_m, pitch, np.stack([u.ravel(), v.ravel()], axis=-1))
        with np.errstate(invalid="ignore"):
            far = ~(np.hypot(places[:, 0], places[:, 1]) <= RANGE_M)
        places[far] = np.nan
        return places.reshape(*size, 2).astype(np.float32)

    def points(
        self, maps: Iterable[tuple[float, NDArray[np.uint8], NDArray[np.float32] | None]]
    ) -> GroundPoints:
        """The points of (seconds ahead, label map HxW, its probabilities HxW or None), one map after the other."""
        xy, labels, probability, horizon_s = [], [], [], []
        for seconds, shown, confidence in maps:
            for places, chosen in ((self._centres, shown == semantics.ROAD), (self._edges, _feet(shown))):
                chosen = chosen & np.isfinite(places[..., 0])
                count = int(chosen.sum())
                xy.append(places[chosen])
                labels.append(shown[chosen])
                probability.append(np.ones(count, np.float32) if confidence is None else confidence[chosen])
                horizon_s.append(np.full(count, seconds, np.float32))
        flat = np.concatenate(xy) if xy else np.zeros((0, 2), np.float32)
        return GroundPoints(
            np.column_stack([flat, np.zeros(len(flat), np.float32)]),
            np.concatenate(labels) if labels else np.zeros(0, np.uint8),
            np.concatenate(probability).astype(np.float32) if probability else np.zeros(0, np.float32),
            np.concatenate(horizon_s) if horizon_s else np.zeros(0, np.float32),
        )


def _feet(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of cars, riders and people that have flat ground right below them."""
    feet = np.zeros(labels.shape, bool)
    feet[:-1] = np.isin(labels[:-1], semantics.OCCUPANTS) & np.isin(labels[1:], FLAT)
    return feet
