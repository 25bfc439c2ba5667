"""One synthetic street: its road, its light, what stands and what moves in it, and our own drive through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from vidpred_ros import semantics as classes
from vidpred_ros.sources import synthetic_ground as ground
from vidpred_ros.sources import synthetic_textures as tex
from vidpred_ros.sources.synthetic_quads import KEEP_LABEL, SIGHT, QuadList, Quads
from vidpred_ros.sources.synthetic_road import Drive, Road
from vidpred_ros.sources.synthetic_scenery import Light, Scenery
from vidpred_ros.sources.synthetic_vehicles import Vehicle, fleet

SHADOW_SIGHT = 70.0
HEADWAY = 1.4  # seconds between us and the car ahead


@dataclass(frozen=True)
class Mover:
    """Something that moves along the road; its quads are in its own coordinates (x forward, y left, z up)."""

    looks: list[Quads]  # one for each phase of the gait; a vehicle has one
    far: Quads | None  # what to draw when it is a few pixels high, if that is simpler
    model: Vehicle | None
    d: float
    start: float
    speed: float  # metres a second along s; negative: oncoming
    leads: bool = False  # drives ahead of us, with our own speed profile some seconds later
    stride: float = 1.5  # metres of one gait cycle


class Course:
    """What a seed decides before anything is drawn: the road, the drive along it, the light and the camera."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.seed = seed
        self.drive = Drive(self.rng(0), seconds + 20.0)
        self.length = float(self.drive.distance(seconds)) + SIGHT + 80.0
        self.road = Road(self.rng(1), self.length + 120.0)
        look = self.rng(2)
        self.plan = ground.layout(look, str(look.choice(["city", "suburb", "country"], p=[0.4, 0.35, 0.25])))
        self.light = daylight(look)
        self.focal = look.uniform(0.62, 0.95)  # focal length, in widths of the picture
        self.camera_height = look.uniform(1.3, 1.7)
        self.pitch = look.uniform(-0.01, 0.03)  # radians down
        self.wander = look.uniform(0.05, 0.25), look.uniform(4, 9), look.uniform(0, 6)  # metres, period in seconds, phase
        self.exposure = look.uniform(0.0, 0.12), look.uniform(5, 11), look.uniform(0, 6)
        self.contrast = look.uniform(0.2, 0.75)

    def rng(self, topic: int) -> Generator:
        """A stream for each topic: a change in one leaves the others as they were."""
        return np.random.default_rng([self.seed, topic])


class World:
    """The street along a course, with all its pictures drawn."""

    def __init__(self, course: Course) -> None:
        self.drive, self.road, self.plan, self.light = course.drive, course.road, course.plan, course.light
        self.strip = ground.ground_strip(course.rng(5), course.plan)
        sky = course.rng(6)
        clouds = sky.uniform(0.15, 0.55) if course.light.sunny else 0.85
        self.sky = tex.sky_panorama(sky, course.light.zenith, course.light.haze, clouds)
        self.scenery = Scenery(course.rng(3), course.road, course.plan, course.light, course.length)
        self.movers = self._build_movers(course.rng(4), course.length)
        self.textures = self.scenery.textures

    def _build_movers(self, rng: Generator, length: float) -> list[Mover]:
        models = fleet(rng, ("car", "car", "car", "car", "car", "van", "truck", "bus"))
        pool = [(*self.scenery.vehicle_quads(m), m) for m in models]
        middle = self.plan.lane / 2
        movers = []
        if rng.random() < 0.65:
            near, far, model = pool[int(rng.integers(6))]
            movers.append(Mover([near], far, model, -middle, rng.uniform(7, 16), 0.0, leads=True))
        speed = rng.uniform(7, 12)
        s = rng.uniform(25, 60)
        while s < length * 2.2:
            near, far, model = pool[int(rng.integers(8))]
            movers.append(Mover([near], far, model, middle + rng.uniform(-0.2, 0.2), s, -speed))
            s += 14 + rng.exponential(30)
        if self.plan.walk > self.plan.kerb + 1:
            blot = self.scenery.texture(tex.soft_shadow(24, 24))
            walkers = [self._walker(rng, blot) for _ in range(7)]
            for side in (-1, 1):
                s = rng.uniform(0, 15)
                while s < length:
                    pace = float(rng.choice([-1, 1])) * rng.uniform(0.9, 1.6)
                    d = side * rng.uniform(self.plan.kerb + 0.7, self.plan.walk - 0.4)
                    movers.append(Mover(walkers[int(rng.integers(len(walkers)))], None, None, d, s, pace))
                    s += 3 + rng.exponential(22)
        return movers

    def _walker(self, rng: Generator, blot: int) -> list[Quads]:
        phases, tall = [], rng.uniform(1.55, 1.9)
        wide = tall / 1.8
        for picture in tex.pedestrian(rng):
            out = QuadList()
            out.add(np.array([-0.25, 0.45, 0.0]), np.array([0, -0.9, 0]), np.array([0.5, 0, 0]), blot, KEEP_LABEL, two_sided=True)
            corner, number = np.array([0, wide / 2, tall]), self.scenery.texture(picture)
            out.add(corner, np.array([0, -wide, 0]), np.array([0, 0, -tall]), number, classes.PERSON, 0.9, two_sided=True)
            phases.append(out.quads())
        return phases

    def quads_at(self, t: float, simple: float) -> tuple[Quads, Quads]:
        """Everything that may be in sight at time t (seconds from the start), and the shadows on the ground.

        Vehicles farther away than ``simple`` metres come in their simpler form.
        """
        own = float(self.drive.distance(t))
        scenery = self.scenery
        ahead = scenery.s - own
        wanted = (scenery.detail == 0) | ((scenery.detail > 0) == (ahead < simple))
        parts = [scenery.quads[(ahead > -20) & (ahead < SIGHT) & wanted]]
        shadows = [scenery.shadows[np.abs(scenery.shadows_s - own - 20) < SHADOW_SIGHT - 20]] if self.light.sunny else []
        for mover in self.movers:
            s = float(self.drive.distance(t + HEADWAY)) + mover.start if mover.leads else mover.start + mover.speed * t
            if not -8 < s - own < 130:
                continue
            x, y, heading = (float(n) for n in self.road.to_world(s, mover.d))
            heading += np.pi * (mover.speed < 0)
            phase = int(abs(s) / mover.stride * len(mover.looks)) % len(mover.looks)
            look = mover.far if mover.far is not None and s - own > simple else mover.looks[phase]
            parts.append(look.placed(x, y, heading))
            if mover.model and self.light.sunny and s - own < SHADOW_SIGHT:
                shadows.append(scenery.vehicle_shadow(mover.model, heading).placed(x, y, heading))
        everything = Quads.join(parts)
        return everything, Quads.join(shadows) if shadows else everything[:0]


def daylight(rng: Generator) -> Light:
    """Sunny or overcast."""
    sunny = bool(rng.random() < 0.65)
    horizon = np.array([206.0, 218.0, 230.0]) * rng.uniform(0.88, 1.04)
    zenith = np.array([58.0, 116.0, 200.0] if sunny else [168.0, 176.0, 188.0]) * rng.uniform(0.85, 1.15)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(32, 62))
    shadow = np.array([np.cos(azimuth), np.sin(azimuth), 0.0]) / np.tan(elevation)
    tint = 1 + np.array([0.05, 0.0, -0.06]) * rng.uniform(-1, 1)
    return Light(sunny, shadow, horizon.astype(np.float32), zenith.astype(np.float32), tint.astype(np.float32))
