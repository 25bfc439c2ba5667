"""Everything in the synthetic street that stands still, and the shadows that it throws on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vidpred_ros import semantics as classes
from vidpred_ros.sources import synthetic_textures as tex
from vidpred_ros.sources.synthetic_ground import Layout
from vidpred_ros.sources.synthetic_quads import KEEP_LABEL, Floats, QuadList, Quads
from vidpred_ros.sources.synthetic_road import LEAD, Road
from vidpred_ros.sources.synthetic_textures import Array
from vidpred_ros.sources.synthetic_vehicles import Vehicle, fleet

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Light:
    """Sun and sky. ``shadow`` is the ground's way from the foot of a 1 m pole to the tip of its shadow, in metres."""

    sunny: bool
    shadow: Floats  # 3, on the ground
    haze: Array  # 3, colour of the horizon
    zenith: Array  # 3, colour of the sky above
    tint: Array  # 3, colour of the light

    def on_wall(self, outward: Floats) -> float:
        """Brightness of an upright face with this outward normal (unit length, on the ground)."""
        toward = -float(outward @ self.shadow) / max(float(np.linalg.norm(self.shadow)), 1e-9)
        return 0.66 + 0.5 * max(toward, -0.12) if self.sunny else 0.86 + 0.06 * toward


class Scenery:
    """Static quads, with the place along the road ``s`` of each, its ``detail`` (1: only near, -1: only far, 0: always), and shadows."""

    def __init__(self, rng: Generator, road: Road, plan: Layout, light: Light, length: float) -> None:
        self.textures: list[Array] = []
        self._road, self._plan, self._light, self._length = road, plan, light, length
        self._out, self._s, self._detail = QuadList(), list[float](), list[int]()
        self._dark, self._dark_s = QuadList(), list[float]()
        self._black = self.texture(soft_edge(tex.solid(np.zeros((40, 40, 3), np.float32)), 2))
        if plan.style == "country":
            self._woods(rng)
        self._houses(rng)
        self._trees(rng)
        self._street_furniture(rng)
        self._parked(rng)
        self._backdrop(rng)
        self.quads, self.s, self.detail = self._out.quads(), np.array(self._s), np.array(self._detail)
        self.shadows = self._dark.quads() if self._dark.parts else self.quads[:0]
        self.shadows_s = np.array(self._dark_s)

    def texture(self, texture: Array) -> int:
        """Keep a texture and return its number."""
        self.textures.append(texture)
        return len(self.textures) - 1

    def _frame(self, s: float, d: float) -> tuple[Floats, Floats, Floats]:
        """A point on the ground, the direction of the road there, and the direction to its left."""
        x, y, heading = self._road.to_world(s, d)
        return np.array([x, y, 0.0]), np.array([np.cos(heading), np.sin(heading), 0]), np.array([-np.sin(heading), np.cos(heading), 0])

    def _put(self, s: float, origin: Floats, u: Floats, v: Floats, texture: int, label: int, shade: float, two_sided: bool = False,
             reach: float | None = None) -> None:  # fmt: skip
        self._out.add(origin, u, v, texture, label, shade, two_sided, reach)
        self._s.append(s)
        self._detail.append(0)

    def _along(
        self, s: float, d: float, size: tuple[float, float], texture: int, label: int, side: int, tint: float = 1.0, two_sided: bool = False
    ) -> None:
        """A wall parallel to the road at lateral place d, facing the road from the left (side 1) or the right (-1)."""
        foot, ahead, left = self._frame(s, d)
        u = ahead * size[0] * side
        self._put(s, foot + UP * size[1] - u / 2, u, -UP * size[1], texture, label, self._light.on_wall(-side * left) * tint, two_sided)

    def _across(
        self, s: float, d: float, size: tuple[float, float], texture: int, label: int, tint: float = 1.0, base: float = 0.0,
        mirror: bool = False, shadow: bool = False, reach: float | None = None,
    ) -> None:  # fmt: skip
        """A card across the road that faces the oncoming camera, centred at d."""
        foot, ahead, left = self._frame(s, d)
        u = left * size[0] * (1 if mirror else -1)
        self._put(s, foot + UP * (base + size[1]) - u / 2, u, -UP * size[1], texture, label, self._light.on_wall(-ahead) * tint, True, reach)
        if shadow and self._light.sunny:
            fall = self._light.shadow * size[1]
            wide = np.cross(UP, fall / np.linalg.norm(fall)) * size[0]
            self._dark.add(foot + fall - wide / 2, wide, -fall, texture, KEEP_LABEL, two_sided=True)
            self._dark_s.append(s)

    def _houses(self, rng: Generator) -> None:
        style = self._plan.style
        fronts = []
        for _ in range(9):
            storeys = int(rng.integers(2, 6)) if style == "city" else int(rng.integers(1, 3))
            size = rng.uniform(9, 16), 3.1 * storeys
            gable = 2.75 if style != "city" or rng.random() < 0.4 else 0.0
            end = self.texture(tex.end_wall(rng, 9.0, size[1], gable))
            fronts.append((size, gable, self.texture(tex.facade(rng, *size)), end))
        tiles = [self.texture(tex.roof(rng, 8.0, 5.0)) for _ in range(3)]
        for side in (-1, 1):
            s = -LEAD + 10
            while s < self._length:
                size, gable, texture, end = fronts[int(rng.integers(len(fronts)))]
                gap = {"city": (0.1, 0.6), "suburb": (3, 7), "country": (8, 16)}[style]
                setback = self._plan.walk + rng.uniform(*gap)
                s += size[0] / 2
                if rng.random() < {"city": 0.94, "suburb": 0.85, "country": 0.12}[style]:
                    tint, deep = rng.uniform(0.85, 1.1), 9.0
                    self._along(s, side * setback, size, texture, classes.BUILDING, side, tint)
                    middle = side * (setback + deep / 2)
                    self._across(s - size[0] / 2, middle, (deep, size[1] + gable), end, classes.BUILDING, 0.95)
                    if gable:
                        self._roof(s, side, setback, size, tiles[int(rng.integers(3))])
                    self._house_shadow(s, side, setback, (size[0], size[1] + 0.7 * gable), deep)
                s += size[0] / 2 + (rng.choice([0.0, 0.0, 0.0, 4.0]) if style == "city" else rng.uniform(2, 7))
            if style == "suburb":
                self._garden_edges(rng, side)

    def _roof(self, s: float, side: int, setback: float, size: tuple[float, float], texture: int) -> None:
        foot, ahead, left = self._frame(s, side * (setback - 0.4))
        u = ahead * (size[0] + 0.6) * side
        slope = -3.0 * UP - side * left * 4.9
        light = self._light.on_wall(-side * left) * 0.6 + 0.4
        self._put(s, foot + UP * (size[1] - 0.15) - slope - u / 2, u, slope, texture, classes.BUILDING, light)

    def _house_shadow(self, s: float, side: int, setback: float, size: tuple[float, float], deep: float) -> None:
        """The front edge and the near side edge of a house, swept along its shadow, and the shadow of its roof."""
        if not self._light.sunny:
            return
        foot, ahead, left = self._frame(s, side * setback)
        wide, back, fall = ahead * size[0], side * left * deep, self._light.shadow * size[1]
        corner = foot - wide / 2
        for origin, u, v in ((corner, wide, fall), (corner, back, fall), (corner + wide, back, fall), (corner + fall, wide, back)):
            self._dark.add(origin, u, v, self._black, KEEP_LABEL, two_sided=True)
            self._dark_s.append(s)

    def _garden_edges(self, rng: Generator, side: int) -> None:
        hedges = [self.texture(tex.hedge(rng, 7.5, 1.3)) for _ in range(2)]
        fences = [self.texture(tex.fence(rng, 7.5, 1.1)) for _ in range(2)]
        s = -LEAD
        while s < self._length:
            if (draw := rng.random()) < 0.75:
                texture, tall, label = (hedges[int(rng.integers(2))], 1.3, classes.VEGETATION)
                if draw > 0.45:
                    texture, tall, label = (fences[int(rng.integers(2))], 1.1, classes.FENCE)
                for k in range(2):
                    self._along(s + 7.5 * k, side * (self._plan.walk + 0.35), (7.55, tall), texture, label, side, two_sided=True)
            s += 15 + rng.choice([0.0, 4.0])

    def _woods(self, rng: Generator) -> None:
        """Country road: stretches where a wood comes close."""
        pool = [self.texture(tex.forest(rng, 30.0, 13.0, px_per_m=14)) for _ in range(3)]
        for side in (-1, 1):
            s, near = -LEAD, rng.uniform(6, 10)
            while s < self._length:
                if rng.random() < 0.55:
                    for _ in range(int(rng.integers(1, 4))):
                        tall = rng.uniform(9, 14)
                        place = side * (self._plan.walk + near)
                        self._along(s, place, (31, tall), pool[int(rng.integers(3))], classes.VEGETATION, side, 0.75, two_sided=True)
                        self._across(s - 15, place + side * 7.5, (15, tall), pool[int(rng.integers(3))], classes.VEGETATION, 0.75)
                        self._house_shadow(s, side, near + self._plan.walk, (31, tall * 0.75), 12)
                        s += 30
                s += rng.uniform(20, 60)

    def _trees(self, rng: Generator) -> None:
        fronts = [self.texture(tex.tree(rng, 5.5, 7.5)) for _ in range(5)]
        backs = [self.texture(tex.tree(rng, 5.5, 7.5, trunk=False)) for _ in range(3)]
        for side in (-1, 1):
            s = -LEAD + rng.uniform(0, 8)
            while s < self._length:
                d = self._plan.kerb + 0.9 if self._plan.style == "city" else self._plan.walk + rng.uniform(2.0, 4.0)
                if self._plan.style == "suburb" and rng.random() < 0.4:
                    d = self._plan.kerb + 0.9
                scale, tint = rng.uniform(0.75, 1.3), rng.uniform(0.8, 1.15)
                for layer, back in ((0, 0.9), (1, 0.0)):  # two crowns one behind the other give the tree some depth
                    texture = int(rng.choice(fronts if layer else backs))
                    place = side * d + rng.uniform(-0.2, 0.2) * (1 - layer)
                    tone, flip = tint * (0.8 if layer == 0 else 1.0), bool(rng.random() < 0.5)
                    self._across(s + back, place, (5.5 * scale, 7.5 * scale), texture, classes.VEGETATION, tone, mirror=flip,
                                 shadow=layer == 1, reach=None if layer else 45.0)  # fmt: skip
                s += rng.choice([9.0, 12.0, 24.0]) * rng.uniform(0.85, 1.3)

    def _street_furniture(self, rng: Generator) -> None:
        lamp = self.texture(tex.lamp_post(rng, 1.6, 6.5))
        post = self.texture(tex.solid(np.full((24, 8, 3), 110.0, np.float32)))
        signs = [self.texture(tex.traffic_sign(rng)) for _ in range(5)]
        reflector = self.texture(tex.delineator())
        for side in (-1, 1):
            s = -LEAD + rng.uniform(5, 25)
            while s < self._length:
                if self._plan.style == "country":
                    self._across(s, side * (self._plan.kerb + 0.8), (0.16, 1.0), reflector, classes.POLE, 1.1)
                else:
                    self._across(s, side * (self._plan.kerb + 0.5), (1.6, 6.5), lamp, classes.POLE, mirror=side > 0, shadow=True)
                s += rng.uniform(24, 32)
            s = rng.uniform(5, 30)
            while s < self._length:
                d = side * (self._plan.kerb + 0.45)
                self._across(s, d, (0.07, 2.9), post, classes.POLE, 0.9, shadow=True)
                if side < 0:
                    self._across(s - 0.06, d, (0.65, 0.65), signs[int(rng.integers(len(signs)))], classes.TRAFFIC_SIGN, base=2.2)
                else:
                    self._across(s - 0.06, d, (0.65, 0.65), post, classes.TRAFFIC_SIGN, 1.3, base=2.2)
                s += rng.uniform(18, 50)

    def vehicle_quads(self, model: Vehicle) -> tuple[Quads, Quads]:
        """Faces and the dark below, in the vehicle's coordinates, for when it is near and when it is far."""
        sets = []
        for faces in (model.near, model.far):
            out = QuadList()
            for face in [model.shadow, *faces]:
                label = KEEP_LABEL if face is model.shadow else model.label
                corner = np.array(face.origin), np.array(face.u), np.array(face.v)
                out.add(*corner, self.texture(face.texture), label, face.shade, face.two_sided)
            sets.append(out.quads())
        return sets[0], sets[1]

    def vehicle_shadow(self, model: Vehicle, heading: float) -> Quads:
        """The shadow that the sun throws, in the vehicle's coordinates, when the vehicle heads that way."""
        cos, sin = np.cos(heading), np.sin(heading)
        x, y, _ = self._light.shadow * model.height * 0.8
        ahead, left = cos * x + sin * y, cos * y - sin * x
        long, wide = model.length * 0.98 + abs(ahead), model.width * 0.98 + abs(left)
        out = QuadList()
        corner = np.array([(ahead + long) / 2, (left + wide) / 2, 0.0])
        out.add(corner, np.array([-long, 0, 0]), np.array([0, -wide, 0]), self._black, KEEP_LABEL, two_sided=True)
        return out.quads()

    def _parked(self, rng: Generator) -> None:
        if self._plan.kerb < self._plan.lane + 1:
            return
        models = fleet(rng, ("car", "car", "car", "car", "car", "car", "van"))
        pool = [self.vehicle_quads(m) for m in models]
        for side in (-1, 1):
            s, density = -LEAD, rng.uniform(0.3, 0.75)
            while s < self._length:
                number = int(rng.integers(len(pool)))
                s += models[number].length / 2
                if rng.random() < density:
                    d = side * (self._plan.kerb - 0.25 - models[number].width / 2) + rng.uniform(-0.1, 0.1)
                    x, y, heading = (float(n) for n in self._road.to_world(s, d))
                    heading += np.pi * (side > 0)
                    for detail, quads in zip((1, -1), pool[number], strict=True):
                        self._out.parts.append(quads.placed(x, y, heading))
                        self._s += [s] * len(quads)
                        self._detail += [detail] * len(quads)
                    if self._light.sunny:
                        self._dark.parts.append(self.vehicle_shadow(models[number], heading).placed(x, y, heading))
                        self._dark_s.append(s)
                s += models[number].length / 2 + rng.uniform(0.7, 3.0)

    def _backdrop(self, rng: Generator) -> None:
        """Rows of trees far to the sides, which close the view between the houses."""
        pool = [self.texture(tex.forest(rng, 60.0, 14.0)) for _ in range(2)]
        for side in (-1, 1):
            for k, s in enumerate(np.arange(-LEAD + 30, self._length + 60, 40.0)):
                place = side * (self._plan.walk + 46)
                self._across(s + 13 * (side > 0), place, (60.0, rng.uniform(8, 13)), pool[k % 2], classes.VEGETATION, 0.85, mirror=bool(k % 3))


def soft_edge(texture: Array, pixels: float) -> Array:
    """A margin of nothing, then a blur."""
    margin = round(2 * pixels)
    return np.asarray(cv2.GaussianBlur(np.pad(texture, ((margin, margin), (margin, margin), (0, 0))), (0, 0), pixels), np.float32)
