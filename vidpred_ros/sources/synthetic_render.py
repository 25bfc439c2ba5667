"""Draws the synthetic street: ground by inverse mapping, everything else as textured parallelograms over a depth buffer.

For a parallelogram with corner o and edges u, v in camera coordinates, Q = inv(K [u v o]) turns a pixel into
(a, b, 1) / z: the place on the texture and the inverse depth, both exact. Textures are shrunk beforehand in both directions
separately, to the size at which a texel is about a pixel, so nothing shimmers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros import semantics as classes
from vidpred_ros.sources.synthetic_ground import HALF_WIDTH, PERIOD
from vidpred_ros.sources.synthetic_textures import Array
from vidpred_ros.sources.synthetic_world import KEEP_LABEL, Quads, World

NEAR = 0.4  # metres
HAZE_LENGTH = 260.0  # metres after which 1/e of the light is left
PER_OCTAVE = 3  # sizes of a texture for each factor of two
GRID = 8  # pixels between the columns at which ground coordinates are computed


@dataclass(frozen=True)
class Camera:
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int


class Pyramid:
    """A texture at every size that is asked for, shrunk by area along each axis on its own."""

    def __init__(self, base: Array, wrap: bool = False) -> None:
        self._base = base
        self._wrap = wrap  # repeat the first columns at the end and the last at the start
        self._levels: dict[tuple[int, int], Array] = {}

    def level(self, down_x: float, down_y: float) -> Array:
        """The texture shrunk by about these factors (at least 1)."""
        key = tuple(max(0, round(np.log2(max(f, 1e-3)) * PER_OCTAVE)) for f in (down_x, down_y))
        if key not in self._levels:
            height, width = self._base.shape[:2]
            size = [max(1, round(n / 2 ** (k / PER_OCTAVE))) for n, k in zip((width, height), key, strict=True)]
            small = self._base if key == (0, 0) else cv2.resize(self._base, size, interpolation=cv2.INTER_AREA)
            if self._wrap:
                small = cv2.copyMakeBorder(small, 0, 0, 1, 1, cv2.BORDER_WRAP)
            self._levels[key] = np.ascontiguousarray(small, np.float32)
        return self._levels[key]


class Renderer:
    """Draws one world with one camera."""

    def __init__(self, world: World, camera: Camera) -> None:
        self.world = world
        self.camera = camera
        self.matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
        self._unproject = np.linalg.inv(self.matrix)
        self._textures = [Pyramid(t) for t in world.textures]
        self._strip = Pyramid(world.strip, wrap=True)
        self._sky = np.pad(world.sky, ((0, 0), (0, 1), (0, 0)), mode="wrap")
        self._xs = np.arange(camera.width, dtype=np.float32)
        self._ys = np.arange(camera.height, dtype=np.float32)
        nodes = np.arange(0, camera.width + GRID, GRID, dtype=np.float64)
        place = self._xs / GRID
        left = np.minimum(place.astype(np.int64), len(nodes) - 2)
        spread = np.zeros((len(nodes), camera.width), np.float32)  # interpolates from the grid's columns to every column
        spread[left, np.arange(camera.width)] = 1 - (place - left)
        spread[left + 1, np.arange(camera.width)] = place - left
        self._nodes, self._spread = nodes, spread

    def render(self, pose: NDArray[np.float64], t: float) -> tuple[Array, NDArray[np.uint8], Array]:
        """Colour HxWx3 float32 (0..255), train ids HxW and inverse depth HxW (1/m, 0 for sky) seen from ``pose``.

        ``pose`` is the 4x4 camera-to-world matrix; the camera looks along its z axis, x right, y down.
        """
        h, w = self.camera.height, self.camera.width
        image = np.empty((h, w, 3), np.float32)
        labels = np.empty((h, w), np.uint8)
        inverse = np.zeros((h, w), np.float32)
        self._paint_sky_and_ground(image, labels, inverse, pose)
        self._paint_quads(image, labels, inverse, pose, self.world.quads_at(t))
        clear = np.exp(-1 / (HAZE_LENGTH * np.maximum(inverse, 1e-4)), dtype=np.float32)
        clear[labels == classes.SKY] = 1
        image *= clear[..., None]
        image += (1 - clear)[..., None] * self.world.haze
        return image, labels, inverse

    def _paint_sky_and_ground(self, image: Array, labels: NDArray[np.uint8], inverse: Array, pose: NDArray[np.float64]) -> None:
        h, w = self.camera.height, self.camera.width
        plane = -(pose[2, :3] @ self._unproject) / pose[2, 3]  # inverse depth of the ground: plane . (x, y, 1)
        ground = (plane[0] * self._xs[None] + (plane[1] * self._ys + plane[2])[:, None]).astype(np.float32)
        first = int(np.searchsorted(ground[:, w // 2], 0.0, side="right"))  # first row below the horizon
        pixels = np.stack([*np.meshgrid(self._nodes, np.arange(h)), np.ones((h, len(self._nodes)))], axis=-1)
        rays = pixels @ (pose[:3, :3] @ self._unproject).T

        up = rays[:first]
        turn = np.mod(np.arctan2(up[..., 1], up[..., 0]), 2 * np.pi)
        turn += np.where(turn - turn[:, :1] > np.pi, -2 * np.pi, 0) + np.where(turn - turn[:, :1] < -np.pi, 2 * np.pi, 0)
        rise = np.arctan2(up[..., 2], np.hypot(up[..., 0], up[..., 1]))
        sky_h, sky_w = self._sky.shape[0], self._sky.shape[1] - 1
        map_x = np.mod((-turn * (sky_w / (2 * np.pi))).astype(np.float32) @ self._spread, sky_w)
        map_y = ((1 - rise / (np.pi / 3)) * (sky_h - 1)).astype(np.float32) @ self._spread
        image[:first] = cv2.remap(self._sky, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        labels[:first] = classes.SKY

        down = rays[first:]
        reach = np.minimum(-pose[2, 3] / np.minimum(down[..., 2], -1e-6), 400.0)
        x, y = pose[0, 3] + down[..., 0] * reach, pose[1, 3] + down[..., 1] * reach
        own_s = self._own_s(pose)
        s, d = self.world.road.to_road(x, y, own_s)
        s_map = np.mod((s - own_s).astype(np.float32) @ self._spread + np.float32(own_s % PERIOD), PERIOD)
        d_map = np.abs(d.astype(np.float32) @ self._spread)
        sign = np.sign(d.astype(np.float32) @ self._spread)
        cell = np.minimum(d_map * (len(self.world.ground_classes) / HALF_WIDTH), len(self.world.ground_classes) - 1)
        labels[first:] = self.world.ground_classes[cell.astype(np.int32)]
        margin = 5.0  # beyond the strip its outer metres are mirrored over and over
        over = np.mod(np.maximum(d_map - HALF_WIDTH, 0), 2 * margin)
        d_map = np.where(d_map > HALF_WIDTH, HALF_WIDTH - margin + np.abs(over - margin), d_map) * sign
        inverse[first:] = np.maximum(ground[first:], 1e-5)

        row = first
        while row < h:
            near = float(ground[row, w // 2])
            last = row + 1
            while last < h and ground[last, w // 2] < near * 1.3 + 1e-3:
                last += 1
            z = 1 / max(float(ground[(row + last - 1) // 2, w // 2]), 1e-3)
            across, along = z / self.camera.fx, z * z / (self.camera.fy * pose[2, 3])
            base_h, base_w = self.world.strip.shape[:2]
            texture = self._strip.level(along * base_w / PERIOD * 0.8, across * base_h / (2 * HALF_WIDTH))
            th, tw = texture.shape[0], texture.shape[1] - 2
            band = slice(row - first, last - first)
            map_x = s_map[band] * np.float32(tw / PERIOD) + np.float32(0.5)
            map_y = (HALF_WIDTH - d_map[band]) * np.float32(th / (2 * HALF_WIDTH)) - np.float32(0.5)
            image[row:last] = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            row = last

    def _paint_quads(self, image: Array, labels: NDArray[np.uint8], inverse: Array, pose: NDArray[np.float64], quads: Quads) -> None:
        turn, here = pose[:3, :3], pose[:3, 3]
        frame = np.stack([quads.u @ turn, quads.v @ turn, (quads.origin - here) @ turn], axis=2)  # columns u, v, o
        u, v, o = frame[..., 0], frame[..., 1], frame[..., 2]
        corners = np.stack([o, o + u, o + u + v, o + v], axis=1)
        facing = quads.two_sided | (np.einsum("ni,ni->n", np.cross(u, v), o) > 0)
        keep = facing & (corners[..., 2].max(axis=1) > NEAR) & (np.abs(np.linalg.det(frame)) > 1e-6)
        number = np.flatnonzero(keep)
        corners = corners[number]
        safe = np.maximum(corners[..., 2:], 1e-3)
        points = corners[..., :2] * [self.camera.fx, self.camera.fy] / safe + [self.camera.cx, self.camera.cy]
        lows, highs = points.min(axis=1), points.max(axis=1)
        for k in np.flatnonzero(corners[..., 2].min(axis=1) < NEAR):
            lows[k], highs[k] = self._clipped_box(corners[k])
        limit = [self.camera.width, self.camera.height]
        inside = ((highs > -0.5) & (lows < np.array(limit) - 0.5) & (highs - lows > 0.05)).all(axis=1)
        number, lows, highs, corners = number[inside], lows[inside], highs[inside], corners[inside]
        starts = np.maximum(np.floor(lows).astype(np.int64), 0)
        stops = np.minimum(np.ceil(highs).astype(np.int64) + 1, limit)
        solve = np.linalg.inv(self.matrix @ frame[number])
        far = corners[..., 2].mean(axis=1) + 1000.0 * (quads.label[number] == KEEP_LABEL)  # decals directly after the ground
        for k in np.argsort(-far, kind="stable"):
            n = number[k]
            self._paint_quad(image, labels, inverse, solve[k], starts[k], stops[k], quads.texture[n], quads.label[n], quads.shade[n])

    def _clipped_box(self, corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Box in pixels around the part of a parallelogram in front of the near plane."""
        kept = []
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if a[2] >= NEAR:
                kept.append(a)
            if (a[2] >= NEAR) != (b[2] >= NEAR):
                kept.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
        part = np.array(kept)
        points = part[:, :2] * [self.camera.fx, self.camera.fy] / part[:, 2:] + [self.camera.cx, self.camera.cy]
        return points.min(axis=0), points.max(axis=0)

    def _paint_quad(
        self, image: Array, labels: NDArray[np.uint8], inverse: Array, solve: NDArray[np.float64], start: NDArray[np.int64],
        stop: NDArray[np.int64], texture: int, label: int, shade: Array,
    ) -> None:  # fmt: skip
        (x0, y0), (x1, y1) = start, stop
        window = np.s_[y0:y1, x0:x1]
        depth = solve[2, 0] * self._xs[x0:x1] + (solve[2, 1] * self._ys[y0:y1] + solve[2, 2])[:, None]
        behind = inverse[window]
        seen = depth * 1.0005 > behind
        if label == KEEP_LABEL:
            seen = depth * 1.02 > behind
        if not seen.any():
            return
        drawn = self._sample(solve, texture, x0, y0, x1, y1)
        cover = drawn[..., 3] * seen
        part = image[window]
        part *= (1 - cover)[..., None]
        part += drawn[..., :3] * (seen[..., None] * shade)
        if label != KEEP_LABEL:
            hard = cover > 0.5
            labels[window][hard] = label
            behind[hard] = depth[hard]

    def _sample(self, solve: NDArray[np.float64], texture: int, x0: int, y0: int, x1: int, y1: int) -> Array:
        """RGBA of a window of the picture; narrow columns take the texture at the size that fits their distance."""
        middle = (y0 + y1 - 1) / 2
        ends = solve[2, 0] * np.array([x0, x1 - 1]) + solve[2, 1] * middle + solve[2, 2]
        ends = np.maximum(ends, 1 / 400)
        ratio = max(ends) / min(ends)
        pieces = min(int(np.ceil(np.log(ratio) / np.log(1.5))), x1 - x0) if ratio > 1.5 else 1
        cuts = [x0, x1]
        if pieces > 1:  # borders where the inverse depth grows by equal factors
            steps = ends[0] * (ends[1] / ends[0]) ** (np.arange(1, pieces) / pieces)
            cuts = sorted({x0, x1, *np.round(x0 + (steps - ends[0]) / (ends[1] - ends[0]) * (x1 - x0)).astype(int).tolist()})
        drawn = np.empty((y1 - y0, x1 - x0, 4), np.float32)
        pyramid = self._textures[texture]
        base_h, base_w = pyramid.level(1, 1).shape[:2]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            at = solve @ [(a + b - 1) / 2, middle, 1.0]
            inv_z = max(at[2], 1 / 400)
            du = np.hypot(*(solve[0, :2] - at[0] / inv_z * solve[2, :2])) / inv_z * base_w
            dv = np.hypot(*(solve[1, :2] - at[1] / inv_z * solve[2, :2])) / inv_z * base_h
            level = pyramid.level(du, dv)
            h, w = level.shape[:2]
            # Pixel of this window -> texel: shift to the picture, solve, scale to the level, texel centres at whole numbers.
            warp = np.array([[w, 0, -0.5], [0, h, -0.5], [0, 0, 1]]) @ solve @ np.array([[1.0, 0, a], [0, 1, y0], [0, 0, 1]])
            drawn[:, a - x0 : b - x0] = cv2.warpPerspective(
                level, warp, (int(b - a), int(y1 - y0)), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
            )
        return drawn

    def _own_s(self, pose: NDArray[np.float64]) -> float:
        """Where along the road the camera is (nearest point of the centre line's table)."""
        road = self.world.road
        return float(road.s[np.argmin((road.x - pose[0, 3]) ** 2 + (road.y - pose[1, 3]) ** 2)])
