"""Draws the synthetic street: ground by inverse mapping, everything else as textured parallelograms over a depth buffer.

For a parallelogram with corner o and edges u, v in camera coordinates, Q = inv(K [u v o]) turns a pixel into
(a, b, 1) / z: the place on the texture and the inverse depth, both exact. Textures are shrunk beforehand in both directions
separately, to the size at which a texel is about a pixel, so nothing shimmers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros import semantics as classes
from vidpred_ros.sources.synthetic_ground import HALF_WIDTH, PERIOD, ground_classes
from vidpred_ros.sources.synthetic_quads import KEEP_LABEL, SIGHT, Quads
from vidpred_ros.sources.synthetic_textures import Array
from vidpred_ros.sources.synthetic_world import World

NEAR = 0.4  # metres
HAZE_LENGTH = 260.0  # metres after which 1/e of the light is left
SHADOW = np.array([0.60, 0.57, 0.52], np.float32)  # what a shadow takes away: less of the blue, which the sky gives
PER_OCTAVE = 3  # sizes of a texture for each factor of two
SUBROWS = 3  # samples of the ground in a far row of pixels
OBLIQUE = 0.35  # metres of road in a row of pixels from which it counts as far
MARGIN = 5.0  # metres at the edge of the ground strip that are repeated beyond it
GRID = 16  # pixels between the columns at which ground coordinates are computed


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

    def level(self, key: tuple[int, int]) -> Array:
        """The texture shrunk along x and y by 2 ** (key / PER_OCTAVE)."""
        if key not in self._levels:
            height, width = self._base.shape[:2]
            size = [int(shrunk(n, k)) for n, k in zip((width, height), key, strict=True)]
            small = self._base if key == (0, 0) else cv2.resize(self._base, size, interpolation=cv2.INTER_AREA)
            if self._wrap:
                small = cv2.copyMakeBorder(small, 0, 0, 1, 1, cv2.BORDER_WRAP)
            self._levels[key] = np.ascontiguousarray(small, np.float32)
        return self._levels[key]


def level_for(texels_per_pixel: Any) -> Any:
    """Level at which a texel is about a pixel."""
    return np.maximum(0, np.round(np.log2(np.maximum(texels_per_pixel, 1e-3)) * PER_OCTAVE)).astype(np.int64)


def shrunk(size: Any, level: Any) -> Any:
    """Texels left of ``size`` at a level."""
    return np.maximum(1, np.round(size / 2.0 ** (np.asarray(level) / PER_OCTAVE))).astype(np.int64)


class Piece(NamedTuple):
    """A part of a quad in the picture that takes its texture at one size."""

    number: int  # of the quad
    texture: int
    box: list[int]  # x0, y0, x1, y1 in pixels
    level: tuple[int, int]
    warp: NDArray[np.float64]  # 3x3, pixel of the box to texel
    plane: list[float]  # inverse depth = plane . (x, y, 1), with the pixel of the whole picture
    fade: np.float32


class Renderer:
    """Draws one world with one camera."""

    def __init__(self, world: World, camera: Camera) -> None:
        self.world = world
        self.camera = camera
        self.matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
        self._unproject = np.linalg.inv(self.matrix)
        self._textures = [Pyramid(t) for t in world.textures]
        self._texture_sizes = np.array([t.shape[1::-1] for t in world.textures], np.float64)
        self._simple = camera.fx * 0.14  # metres at which a car is about 11 pixels high
        self._ground_classes = ground_classes(world.plan)
        self._strip = Pyramid(world.strip, wrap=True)
        self._sky = np.pad(world.sky, ((0, 0), (0, 1), (0, 0)), mode="wrap")
        self._xs = np.arange(camera.width, dtype=np.float32)
        self._ys = np.arange(camera.height, dtype=np.float64)
        self._column = self._ys.astype(np.float32)[:, None]
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
        image = np.empty((3, h, w), np.float32)
        labels = np.empty((h, w), np.uint8)
        inverse = np.zeros((h, w), np.float32)
        self._paint_sky_and_ground(image, labels, inverse, pose)
        things, shadows = self.world.quads_at(t, self._simple)
        self._paint_shadows(image, pose, shadows)
        self._paint_things(image, labels, inverse, pose, things)
        clear = np.exp(-1 / (HAZE_LENGTH * np.maximum(inverse, 1e-4)), dtype=np.float32)
        clear[labels == classes.SKY] = 1
        image *= clear
        image += (1 - clear) * self.world.light.haze[:, None, None]
        image *= self.world.light.tint[:, None, None]
        return cv2.merge(list(image)), labels, inverse

    def _paint_sky_and_ground(self, image: Array, labels: NDArray[np.uint8], inverse: Array, pose: NDArray[np.float64]) -> None:
        w = self.camera.width
        plane = -(pose[2, :3] @ self._unproject) / pose[2, 3]  # inverse depth of the ground: plane . (x, y, 1)
        ground = plane[0] * self._xs[None] + (plane[1] * self._ys + plane[2])[:, None]
        below = ground[:, w // 2]
        first = int(np.searchsorted(below, 0.0, side="right"))  # first row below the horizon
        self._paint_sky(image[:, :first], pose)
        labels[:first] = classes.SKY

        # Far rows are the mean of several sub-rows: seen from the side of the picture, a pixel there is long and oblique.
        along = 1 / (np.maximum(below, 1e-3) ** 2 * self.camera.fy * pose[2, 3])  # metres of road in a row of pixels
        fine = int(np.searchsorted(-along, -OBLIQUE, side="right"))
        fine = max(fine, first)
        parts = (np.arange(SUBROWS) - (SUBROWS - 1) / 2) / SUBROWS
        self._paint_ground_rows(image[:, first:fine], labels[first:fine], (self._ys[first:fine, None] + parts).ravel(), pose)
        self._paint_ground_rows(image[:, fine:], labels[fine:], self._ys[fine:].astype(np.float64), pose)
        inverse[first:] = np.maximum(ground[first:], 1e-5)

    def _rays(self, rows: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions in the world, one camera depth long, through the grid's columns of these rows."""
        pixels = np.stack([*np.meshgrid(self._nodes, rows), np.ones((len(rows), len(self._nodes)))], axis=-1)
        return pixels @ (pose[:3, :3] @ self._unproject).T

    def _paint_sky(self, image: Array, pose: NDArray[np.float64]) -> None:
        up = self._rays(self._ys[: image.shape[1]], pose)
        turn = np.unwrap(np.arctan2(up[..., 1], up[..., 0]), axis=1)
        rise = np.arctan2(up[..., 2], np.hypot(up[..., 0], up[..., 1]))
        sky_h, sky_w = self._sky.shape[0], self._sky.shape[1] - 1
        map_x = np.mod((-turn * (sky_w / (2 * np.pi))).astype(np.float32) @ self._spread, sky_w)
        map_y = ((1 - rise / (np.pi / 3)) * (sky_h - 1)).astype(np.float32) @ self._spread
        image[:] = cv2.remap(self._sky, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).transpose(2, 0, 1)

    def _paint_ground_rows(self, image: Array, labels: NDArray[np.uint8], rows: NDArray[np.float64], pose: NDArray[np.float64]) -> None:
        """Ground seen by ``rows`` (whole pixel rows, or SUBROWS for each row of the picture, which are averaged)."""
        if not len(rows):
            return
        per_pixel = len(rows) // image.shape[1]
        rays = self._rays(rows, pose)
        reach = np.minimum(-pose[2, 3] / np.minimum(rays[..., 2], -1e-6), 400.0)
        own_s = self._own_s(pose)
        s, d = self.world.road.to_road(pose[0, 3] + rays[..., 0] * reach, pose[1, 3] + rays[..., 1] * reach, own_s)
        s_map = np.mod((s - own_s).astype(np.float32) @ self._spread + np.float32(own_s % PERIOD), PERIOD)
        d_map = d.astype(np.float32) @ self._spread
        side = np.abs(d_map)
        cells = self._ground_classes
        cell = np.minimum(side[per_pixel // 2 :: per_pixel] * (len(cells) / HALF_WIDTH), len(cells) - 1)
        labels[:] = cells[cell.astype(np.int32)]
        # Beyond the strip its outer metres are mirrored over and over.
        over = np.abs(np.mod(np.maximum(side - HALF_WIDTH, 0), 2 * MARGIN) - MARGIN)
        d_map = np.where(side > HALF_WIDTH, np.copysign(HALF_WIDTH - MARGIN + over, d_map), d_map)

        drawn = np.empty((len(rows), self.camera.width, 3), np.float32)
        depth = reach[:, len(self._nodes) // 2]
        base_h, base_w = self.world.strip.shape[:2]
        row = 0
        while row < len(rows):  # bands of rows in which one size of the texture fits
            last = row + 1
            while last < len(rows) and depth[row] < depth[last] * 1.25:
                last += 1
            z = depth[(row + last - 1) // 2]
            along, across = z * z / (self.camera.fy * pose[2, 3] * per_pixel), z / self.camera.fx
            level = level_for(np.array([along * base_w / PERIOD, np.hypot(across, along * 0.15) * base_h / (2 * HALF_WIDTH)]) * 0.85)
            texture = self._strip.level((int(level[0]), int(level[1])))
            th, tw = texture.shape[0], texture.shape[1] - 2
            map_x = s_map[row:last] * np.float32(tw / PERIOD) + np.float32(0.5)
            map_y = (HALF_WIDTH - d_map[row:last]) * np.float32(th / (2 * HALF_WIDTH)) - np.float32(0.5)
            drawn[row:last] = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            row = last
        if per_pixel > 1:
            drawn = cv2.resize(drawn, (self.camera.width, image.shape[1]), interpolation=cv2.INTER_AREA)
        image[:] = drawn.transpose(2, 0, 1)

    def _paint_shadows(self, image: Array, pose: NDArray[np.float64], shadows: Quads) -> None:
        """Darken the bare ground. Where shadows overlap the deepest counts, since the sun can be hidden but once."""
        if not len(shadows):
            return
        dark = np.zeros(image.shape[1:], np.float32)
        for item in self._visible(pose, shadows):
            x0, y0, x1, y1 = item.box
            part = dark[y0:y1, x0:x1]
            np.maximum(part, self._warped(item)[..., 3] * (self._depth(item) > 0), out=part)
        image *= 1 - SHADOW[:, None, None] * dark

    def _paint_things(self, image: Array, labels: NDArray[np.uint8], inverse: Array, pose: NDArray[np.float64], quads: Quads) -> None:
        shade = np.pad(quads.shade, ((0, 0), (0, 1)), constant_values=1)[..., None, None]
        for item in self._visible(pose, quads):
            self._blend(image, labels, inverse, item, int(quads.label[item.number]), shade[item.number])

    def _depth(self, item: Piece) -> Array:
        """Inverse depth of the piece's plane in its box."""
        x0, y0, x1, y1 = item.box
        a, b, c = item.plane
        return a * self._xs[x0:x1] + (b * self._column[y0:y1] + c)

    def _warped(self, item: Piece) -> Array:
        x0, y0, x1, y1 = item.box
        texture = self._textures[item.texture].level(item.level)
        size = (x1 - x0, y1 - y0)
        return cv2.warpPerspective(
            texture, item.warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
        )

    def _visible(self, pose: NDArray[np.float64], quads: Quads) -> Iterator[Piece]:
        """The pieces of the quads that are in the picture, far ones first, decals on the ground before all others."""
        turn, here = pose[:3, :3], pose[:3, 3]
        frame = np.stack([quads.u @ turn, quads.v @ turn, (quads.origin - here) @ turn], axis=2)  # columns u, v, o
        u, v, o = frame[..., 0], frame[..., 1], frame[..., 2]
        corners = np.stack([o, o + u, o + u + v, o + v], axis=1)
        facing = quads.two_sided | (np.einsum("ni,ni->n", np.cross(u, v), o) > 0)
        far = corners[..., 2].mean(axis=1)
        fade = np.clip(5 - 5 * far / np.minimum(quads.reach * (self.camera.fx / 192), SIGHT), 0, 1)
        keep = facing & (corners[..., 2].max(axis=1) > NEAR) & (np.abs(np.linalg.det(frame)) > 1e-6) & (fade > 0)
        number = np.flatnonzero(keep)
        corners = corners[number]
        safe = np.maximum(corners[..., 2:], 1e-3)
        points = corners[..., :2] * [self.camera.fx, self.camera.fy] / safe + [self.camera.cx, self.camera.cy]
        lows, highs = points.min(axis=1), points.max(axis=1)
        for k in np.flatnonzero(corners[..., 2].min(axis=1) < NEAR):
            lows[k], highs[k] = self._clipped_box(corners[k])
            points[k] = np.nan
        limit = np.array([self.camera.width, self.camera.height])
        inside = ((highs > -0.5) & (lows < limit - 0.5)).all(axis=1)
        across, down = points[:, 2] - points[:, 0], points[:, 3] - points[:, 1]
        area = np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / 2
        slim = np.clip(1.5 * np.nan_to_num(area, nan=9.0) - 0.5, 0, 1)  # slivers fade out too; not a number: reaches behind the camera
        inside &= slim > 0
        fade[number] *= slim
        number = number[inside]
        start = np.maximum(np.floor(lows[inside]).astype(np.int64), 0)
        stop = np.minimum(np.ceil(highs[inside]).astype(np.int64) + 1, limit)
        far = far[number] + 1000.0 * (quads.label[number] == KEEP_LABEL)  # decals directly after the ground
        order = np.argsort(-far, kind="stable")
        solve = np.linalg.inv(self.matrix @ frame[number[order]])
        pieces = self._pieces(solve, start[order], stop[order], quads.texture[number[order]])
        planes = solve[:, 2].tolist()
        for owner, box, level, warp in zip(*pieces, strict=True):
            n = int(number[order[owner]])
            yield Piece(n, int(quads.texture[n]), box, level, warp, planes[owner], np.float32(fade[n]))

    def _pieces(
        self, solve: NDArray[np.float64], start: NDArray[np.int64], stop: NDArray[np.int64], texture: NDArray[np.int64]
    ) -> tuple[list[int], list[list[int]], list[tuple[int, int]], NDArray[np.float64]]:
        """Cuts the boxes into columns within which the distance changes little, so that one size of the texture fits.

        Returns for each piece: the number of its quad, its box (x0, y0, x1, y1), the level, and the map from pixels of the
        box to texels.
        """
        middle = (start[:, 1] + stop[:, 1] - 1) / 2
        edges = np.stack([start[:, 0], stop[:, 0] - 1], axis=1)
        ends = np.maximum(solve[:, 2, :1] * edges + (solve[:, 2, 1] * middle + solve[:, 2, 2])[:, None], 1 / 400)
        growth = ends[:, 1] / ends[:, 0]
        count = np.clip(np.ceil(np.abs(np.log(growth)) / np.log(1.7)), 1, stop[:, 0] - start[:, 0]).astype(np.int64)
        owner = np.repeat(np.arange(len(count)), count)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        cuts = []  # borders where the inverse depth has grown by equal factors
        for part in (step / count[owner], (step + 1) / count[owner]):
            flat = np.abs(growth[owner] - 1) < 1e-6
            share = np.where(flat, part, (growth[owner] ** part - 1) / np.where(flat, 1, growth[owner] - 1))
            cuts.append(np.round(start[owner, 0] + share * (stop - start)[owner, 0]).astype(np.int64))
        box = np.stack([cuts[0], start[owner, 1], cuts[1], stop[owner, 1]], axis=1)
        full = box[:, 2] > box[:, 0]
        owner, box = owner[full], box[full]

        base = self._texture_sizes[texture[owner]]
        centre = np.stack([(box[:, 0] + box[:, 2] - 1) / 2, middle[owner], np.ones(len(owner))], axis=1)
        at = np.einsum("nij,nj->ni", solve[owner], centre)
        inv_z = np.maximum(at[:, 2:], 1 / 400)
        slope = solve[owner, :2, :2] - (at[:, :2] / inv_z)[..., None] * solve[owner, 2:, :2]
        level = level_for(np.hypot(slope[..., 0], slope[..., 1]) / inv_z * base)
        scale = np.zeros((len(owner), 3, 3))  # texture coordinates 0..1 to texels, whose centres are at whole numbers
        scale[:, [0, 1], [0, 1]] = shrunk(base, level)
        scale[:, :2, 2] = -0.5
        scale[:, 2, 2] = 1
        shift = np.tile(np.eye(3), (len(owner), 1, 1))
        shift[:, :2, 2] = box[:, :2]
        return owner.tolist(), box.tolist(), list(map(tuple, level.tolist())), scale @ solve[owner] @ shift

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

    def _blend(self, image: Array, labels: NDArray[np.uint8], inverse: Array, item: Piece, label: int, shade: Array) -> None:
        """Paint where the piece is nearer than what is there; where it covers more than half, it also sets class and depth."""
        x0, y0, x1, y1 = item.box
        window = (slice(y0, y1), slice(x0, x1))
        depth = self._depth(item)
        behind = inverse[window]
        seen = depth > behind * np.float32(0.98 if label == KEEP_LABEL else 0.9995)
        # in planes, as the picture is: what follows then reads and writes memory in order
        layer = np.multiply(self._warped(item).transpose(2, 0, 1), shade * item.fade, order="C")
        if not seen.all():  # most pieces are nearer than all that is there
            layer *= seen
        part = image[:, y0:y1, x0:x1]
        part *= 1 - layer[3]
        part += layer[:3]
        if label != KEEP_LABEL:
            hard = layer[3] > 0.5
            np.copyto(labels[window], label, where=hard, casting="unsafe")
            np.copyto(behind, depth, where=hard)

    def _own_s(self, pose: NDArray[np.float64]) -> float:
        """Where along the road the camera is (nearest point of the centre line's table)."""
        road = self.world.road
        return float(road.s[np.argmin((road.x - pose[0, 3]) ** 2 + (road.y - pose[1, 3]) ** 2)])
