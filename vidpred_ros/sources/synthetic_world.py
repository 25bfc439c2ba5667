"""What stands and moves in the synthetic street: houses, trees, poles, parked and driving cars, people.

Everything is a textured parallelogram (``Quads``) in world coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vidpred_ros import semantics as classes
from vidpred_ros.sources import synthetic_ground as ground
from vidpred_ros.sources import synthetic_textures as tex
from vidpred_ros.sources.synthetic_road import LEAD, Drive, Floats, Road
from vidpred_ros.sources.synthetic_textures import Array
from vidpred_ros.sources.synthetic_vehicles import Vehicle, vehicle

SIGHT = 170.0  # metres: things farther ahead are not drawn
FADING = (classes.CAR, classes.TRUCK, classes.BUS, classes.PERSON, classes.TRAFFIC_SIGN, 254)
KEEP_LABEL = 254  # a decal on the ground, which changes the colour but not the class


@dataclass(frozen=True)
class Quads:
    """N parallelograms. ``origin`` is the top left corner of the texture, ``u`` runs along its width, ``v`` down its height."""

    origin: Floats  # Nx3 metres
    u: Floats  # Nx3
    v: Floats  # Nx3
    texture: NDArray[np.int64]  # N
    label: NDArray[np.int64]  # N train ids
    shade: NDArray[np.float32]  # Nx3 multiplies the colour
    two_sided: NDArray[np.bool_]  # N
    fades: NDArray[np.bool_]  # N fades away at a distance at which it would be but a few pixels

    def __getitem__(self, pick: NDArray[np.bool_] | NDArray[np.int64]) -> Quads:
        return Quads(*(getattr(self, name)[pick] for name in self.__dataclass_fields__))

    @staticmethod
    def join(parts: list[Quads]) -> Quads:
        return Quads(*(np.concatenate([getattr(p, name) for p in parts]) for name in Quads.__dataclass_fields__))


@dataclass
class QuadList:
    """Collects quads one by one."""

    columns = ("origin", "u", "v", "texture", "label", "shade", "two_sided")
    rows: list[tuple[Floats, Floats, Floats, int, int, Floats, bool]] = field(default_factory=list)

    def add(self, origin: Floats, u: Floats, v: Floats, texture: int, label: int, shade: Floats, two_sided: bool = False) -> None:
        self.rows.append((origin, u, v, texture, label, shade, two_sided))

    def quads(self) -> Quads:
        o, u, v, texture, label, shade, two_sided = (np.array(column) for column in zip(*self.rows, strict=True))
        return Quads(o, u, v, texture, label, shade.astype(np.float32), two_sided, np.isin(label, FADING))


@dataclass(frozen=True)
class Mover:
    """Something that moves along the road; ``quads`` are in its own coordinates (x forward, y left, z up)."""

    quads: list[Quads]  # one set for each phase of the gait; vehicles have one
    far: Quads | None  # what to draw when it is a few pixels high, if that is simpler
    d: float
    start: float
    speed: float  # metres a second along s; negative: oncoming
    leads: bool = False  # drives ahead of us, with our own speed profile some seconds later
    stride: float = 1.0  # metres of one gait cycle


class World:
    """The street of one seed, long enough for a drive of ``seconds``."""

    def __init__(self, seed: int, seconds: float) -> None:
        def rng(topic: int) -> Generator:  # a stream for each topic: a change in one leaves the others as they were
            return np.random.default_rng([seed, topic])

        self.drive = Drive(rng(0), seconds + 20.0)
        self.length = float(self.drive.distance(seconds)) + SIGHT + 80.0
        self.road = Road(rng(1), self.length + 120.0)
        look = rng(2)
        self.city = bool(look.random() < 0.5)
        self.plan = ground.layout(look, self.city)
        self.strip = ground.ground_strip(look, self.plan)
        self.ground_classes = ground.ground_classes(self.plan)
        self.sunny = bool(look.random() < 0.6)
        self.sun_azimuth = look.uniform(0, 2 * np.pi)
        horizon = np.array([214.0, 222.0, 230.0]) * look.uniform(0.88, 1.02)
        zenith = np.array([92.0, 140.0, 206.0]) if self.sunny else np.array([176.0, 184.0, 194.0])
        self.haze = horizon.astype(np.float32)
        self.sky = tex.sky_panorama(look, zenith, horizon, look.uniform(0.25, 0.6) if self.sunny else 0.85)
        self.wander = look.uniform(0.05, 0.25), look.uniform(4, 9), look.uniform(0, 6)
        self.gain = look.uniform(0.0, 0.14), look.uniform(5, 11), look.uniform(0, 6)
        self.textures: list[Array] = []
        self.static = self._build_static(rng(3))
        self.movers = self._build_movers(rng(4))

    # Static things -------------------------------------------------------------------------------------------------

    def _texture(self, texture: Array) -> int:
        self.textures.append(texture)
        return len(self.textures) - 1

    def _light(self, normal_angle: float) -> float:
        """Brightness of an upright face whose outward normal points to ``normal_angle``."""
        toward = np.cos(normal_angle - self.sun_azimuth)
        return float(0.86 + (0.24 if self.sunny else 0.05) * toward)

    def _build_static(self, rng: Generator) -> Quads:
        self._out, self._at, self._detail = QuadList(), [], []
        self._houses(rng)
        self._trees(rng)
        self._street_furniture(rng)
        self._parked(rng)
        self._backdrop(rng)
        self.static_s, self.static_detail = np.array(self._at), np.array(self._detail)
        return self._out.quads()

    def _put(self, s: float, *quad: Any, detail: int = 0) -> None:
        """Add a static quad at s; ``detail``: 1 is drawn only near, -1 only far, 0 always."""
        self._out.add(*quad)
        self._at.append(s)
        self._detail.append(detail)

    def _along(self, s: float, d: float, width: float, height: float, texture: int, label: int, side: int, base: float = 0.0,
               tint: float = 1.0, two_sided: bool = False) -> None:  # fmt: skip
        """A wall parallel to the road at lateral place d, facing the road from the left (side 1) or the right (-1)."""
        x, y, heading = self.road.to_world(s, d)
        ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
        u = ahead * width * side
        light = self._light(heading - side * np.pi / 2) * tint
        self._put(s, np.array([x, y, base + height]) - u / 2, u, np.array([0, 0, -height]), texture, label, np.full(3, light), two_sided)

    def _across(self, s: float, d: float, width: float, height: float, texture: int, label: int, tint: float = 1.0, base: float = 0.0,
                mirror: bool = False) -> None:  # fmt: skip
        """A card across the road that faces the oncoming camera, centred at d."""
        x, y, heading = self.road.to_world(s, d)
        right = np.array([np.sin(heading), -np.cos(heading), 0.0])
        u = right * width * (-1 if mirror else 1)
        light = self._light(heading + np.pi) * tint
        self._put(s, np.array([x, y, base + height]) - u / 2, u, np.array([0, 0, -height]), texture, label, np.full(3, light), True)

    def _houses(self, rng: Generator) -> None:
        fronts = []
        for _ in range(9):
            size = rng.uniform(9, 16), rng.choice([6.2, 9.3, 12.4, 15.5]) if self.city else rng.choice([3.1, 6.2])
            fronts.append((*size, self._texture(tex.facade(rng, *size))))
        gables = [self._texture(tex.plain_wall(rng, 9.0, 9.0)) for _ in range(3)]
        gable_tops = [self._texture(tex.gable(rng, 9.0, 2.75)) for _ in range(2)]
        tiles = [self._texture(tex.roof(rng, 8.0, 5.0)) for _ in range(3)]
        hedges = [self._texture(tex.hedge(rng, 5.0, 1.3)) for _ in range(2)]
        fences = [self._texture(tex.fence(rng, 5.0, 1.1)) for _ in range(2)]
        for side in (-1, 1):
            s = -LEAD + 10
            while s < self.length:
                width, height, texture = fronts[int(rng.integers(len(fronts)))]
                setback = self.plan.walk + (rng.uniform(0.1, 0.6) if self.city else rng.uniform(4, 7))
                s += width / 2
                if rng.random() < (0.92 if self.city else 0.85):
                    tint = rng.uniform(0.85, 1.1)
                    self._along(s, side * setback, width, height, texture, classes.BUILDING, side, tint=tint)
                    deep = 9.0
                    self._across(s - width / 2, side * (setback + deep / 2), deep, height, gables[int(rng.integers(3))], classes.BUILDING, 0.95)
                    if not self.city or rng.random() < 0.3:
                        self._across(s - width / 2, side * (setback + deep / 2), deep, 2.75, gable_tops[int(rng.integers(2))], classes.BUILDING, 0.9, height)
                        self._roof(s, side, setback, width, height, tiles[int(rng.integers(3))])
                s += width / 2 + (rng.choice([0.0, 0.0, 0.0, 4.0]) if self.city else rng.uniform(2, 7))
            if not self.city:
                s = -LEAD
                while s < self.length:
                    if (draw := rng.random()) < 0.75:
                        hedge_here = draw < 0.45
                        pick = (hedges if hedge_here else fences)[int(rng.integers(2))]
                        label = classes.VEGETATION if hedge_here else classes.FENCE
                        for k in range(3):
                            tall = 1.3 if hedge_here else 1.1
                            self._along(s + 5 * k, side * (self.plan.walk + 0.35), 5.05, tall, pick, label, side, two_sided=True)
                    s += 15 + rng.choice([0.0, 4.0])

    def _roof(self, s: float, side: int, setback: float, width: float, height: float, texture: int) -> None:
        x, y, heading = self.road.to_world(s, side * (setback - 0.4))
        ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
        out = side * np.array([-np.sin(heading), np.cos(heading), 0.0])
        u = ahead * (width + 0.6) * side
        slope = np.array([0, 0, -3.0]) - out * 4.4
        self._put(s, np.array([x, y, height - 0.15]) - slope - u / 2, u, slope, texture, classes.BUILDING, np.full(3, self._light(heading - side * np.pi / 2)), False)

    def _trees(self, rng: Generator) -> None:
        pool = [self._texture(tex.tree(rng, 5.5, 7.5)) for _ in range(6)]
        for side in (-1, 1):
            s = -LEAD + rng.uniform(0, 8)
            while s < self.length:
                d = self.plan.kerb + 0.9 if self.city or rng.random() < 0.4 else self.plan.walk + rng.uniform(2.0, 3.5)
                scale, tint = rng.uniform(0.75, 1.25), rng.uniform(0.85, 1.15)
                for layer, back in ((0, 0.9), (1, 0.0)):  # two crowns one behind the other give the tree some depth
                    texture = pool[int(rng.integers(len(pool)))]
                    self._across(s + back, side * d + rng.uniform(-0.2, 0.2) * (1 - layer), 5.5 * scale, 7.5 * scale, texture, classes.VEGETATION,
                                 tint * (0.8 if layer == 0 else 1.0), mirror=bool(rng.random() < 0.5))  # fmt: skip
                s += rng.choice([9.0, 12.0, 24.0]) * rng.uniform(0.85, 1.3)

    def _street_furniture(self, rng: Generator) -> None:
        lamp = self._texture(tex.lamp_post(rng, 1.6, 6.5))
        post = self._texture(tex.solid(np.full((24, 8, 3), 110.0, np.float32)))
        signs = [self._texture(tex.traffic_sign(rng)) for _ in range(5)]
        for side in (-1, 1):
            s = -LEAD + rng.uniform(5, 25)
            while s < self.length:
                self._across(s, side * (self.plan.kerb + 0.5), 1.6, 6.5, lamp, classes.POLE, mirror=side > 0)
                s += rng.uniform(24, 32)
            s = rng.uniform(5, 30)
            while s < self.length:
                d = side * (self.plan.kerb + 0.45)
                self._across(s, d, 0.07, 2.9, post, classes.POLE, 0.9)
                if side < 0:
                    self._across(s - 0.06, d, 0.65, 0.65, signs[int(rng.integers(len(signs)))], classes.TRAFFIC_SIGN, base=2.2)
                else:
                    self._across(s - 0.06, d, 0.65, 0.65, post, classes.TRAFFIC_SIGN, 1.3, base=2.2)
                s += rng.uniform(18, 50)

    def _vehicle_quads(self, model: Vehicle) -> tuple[Quads, Quads]:
        """Faces and the shadow below, in the vehicle's coordinates, for when it is near and when it is far."""
        sets = []
        for faces in (model.near, model.far):
            out = QuadList()
            for face in [model.shadow, *faces]:
                label = KEEP_LABEL if face is model.shadow else model.label
                number, shade = self._texture(face.texture), np.full(3, face.shade)
                out.add(np.array(face.origin), np.array(face.u), np.array(face.v), number, label, shade, face.two_sided)
            sets.append(out.quads())
        return sets[0], sets[1]

    def _parked(self, rng: Generator) -> None:
        if self.plan.kerb < self.plan.lane + 1:
            return
        models = [vehicle(rng, kind) for kind in ("car", "car", "car", "car", "car", "van")]
        pool = [self._vehicle_quads(m) for m in models]
        for side in (-1, 1):
            s, density = -LEAD, rng.uniform(0.35, 0.75)
            while s < self.length:
                number = int(rng.integers(len(pool)))
                s += models[number].length / 2
                if rng.random() < density:
                    d = side * (self.plan.kerb - 0.25 - models[number].width / 2) + rng.uniform(-0.1, 0.1)
                    for detail, quads in zip((1, -1), pool[number], strict=True):
                        placed = self.place(quads, s, d, turned=side > 0)
                        for k in range(len(placed.texture)):
                            one = (getattr(placed, name)[k] for name in QuadList.columns)
                            self._put(s, *one, detail=detail)
                s += models[number].length / 2 + rng.uniform(0.7, 3.0)

    def _backdrop(self, rng: Generator) -> None:
        wood = [self._texture(tex.forest(rng, 60.0, 14.0)) for _ in range(2)]
        for side in (-1, 1):
            for k, s in enumerate(np.arange(-LEAD + 30, self.length + 60, 40.0)):
                near = self.plan.walk + 16
                self._across(s + 13 * (side > 0), side * (near + 30), 60.0, rng.uniform(9, 14), wood[k % 2], classes.VEGETATION, 0.9, mirror=bool(k % 3))

    # Moving things -------------------------------------------------------------------------------------------------

    def _build_movers(self, rng: Generator) -> list[Mover]:
        kinds = ["car", "car", "car", "car", "car", "van", "truck", "bus"]
        models = [vehicle(rng, kind) for kind in kinds]
        pool = [self._vehicle_quads(m) for m in models]
        middle = self.plan.lane / 2
        movers = []
        if rng.random() < 0.65:
            near, far = pool[int(rng.integers(6))]
            movers.append(Mover([near], far, -middle, rng.uniform(7, 16), 0.0, leads=True))
        speed = rng.uniform(7, 12)
        s = rng.uniform(25, 60)
        while s < self.length * 2.2:
            near, far = pool[int(rng.integers(8))]
            movers.append(Mover([near], far, middle + rng.uniform(-0.2, 0.2), s, -speed))
            s += 14 + rng.exponential(28)
        walkers = [self._walker(rng) for _ in range(7)]
        for side in (-1, 1):
            s = rng.uniform(0, 15)
            while s < self.length:
                pace = float(rng.choice([-1, 1])) * rng.uniform(0.9, 1.6)
                d = side * rng.uniform(self.plan.kerb + 0.7, self.plan.walk - 0.4)
                movers.append(Mover(walkers[int(rng.integers(len(walkers)))], None, d, s, pace, stride=1.5))
                s += 3 + rng.exponential(22)
        return movers

    def _walker(self, rng: Generator) -> list[Quads]:
        phases, tall = [], rng.uniform(1.55, 1.9)
        for picture in tex.pedestrian(rng):
            out = QuadList()
            wide = tall / 1.8
            out.add(np.array([0, 0.45, 0.0]), np.array([0, -0.9, 0]), np.array([0.5, 0, 0]), self._blot(), KEEP_LABEL, np.ones(3), True)
            out.add(np.array([0, wide / 2, tall]), np.array([0, -wide, 0]), np.array([0, 0, -tall]), self._texture(picture), classes.PERSON, np.ones(3), True)
            phases.append(out.quads())
        return phases

    def _blot(self) -> int:
        if not hasattr(self, "_blot_number"):
            self._blot_number = self._texture(tex.soft_shadow(24, 24))
        return self._blot_number

    def place(self, quads: Quads, s: float, d: float, turned: bool) -> Quads:
        """Quads in their own coordinates to the world, at (s, d), facing along the road or (turned) against it."""
        x, y, heading = self.road.to_world(s, d)
        heading = heading + (np.pi if turned else 0.0)
        cos, sin = np.cos(heading), np.sin(heading)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        return replace(quads, origin=quads.origin @ turn.T + [x, y, 0], u=quads.u @ turn.T, v=quads.v @ turn.T)

    def quads_at(self, t: float, simple: float) -> Quads:
        """Everything that may be in sight at time t, in seconds since the start; simpler vehicles beyond ``simple`` metres."""
        own = float(self.drive.distance(t))
        ahead = self.static_s - own
        wanted = (self.static_detail == 0) | ((self.static_detail > 0) == (ahead < simple))
        parts = [self.static[(ahead > -20) & (ahead < SIGHT) & wanted]]
        for mover in self.movers:
            if mover.leads:
                s = float(self.drive.distance(t + 1.4)) + mover.start
            else:
                s = mover.start + mover.speed * t
            if -8 < s - own < 130:
                phase = int(abs(s) / mover.stride * len(mover.quads)) % len(mover.quads)
                look = mover.far if mover.far is not None and s - own > simple else mover.quads[phase]
                parts.append(self.place(look, s, mover.d, turned=mover.speed < 0))
        return Quads.join(parts)
