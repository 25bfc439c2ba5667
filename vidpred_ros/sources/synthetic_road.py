"""The centre line of the synthetic road, and the drive along it.

World coordinates: metres, x and y on the ground, z up. Road coordinates: s along the centre line, d to its left.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP = 0.25  # metres between the points of the centre line's table
LEAD = 60.0  # metres of road before s = 0


class Road:
    """A chain of straights, arcs and the clothoids between them (curvature is piecewise linear in s)."""

    def __init__(self, rng: Generator, length: float) -> None:
        knots, curvature, heading = [-LEAD, 15.0], [0.0, 0.0], 0.0
        while knots[-1] < length:
            if rng.random() < 0.25 and curvature[-1] != 0:
                bend = 0.0
            else:  # bends turn back towards straight on, so that the road never meets itself
                sign = -np.sign(heading) if abs(heading) > 0.5 else rng.choice([-1.0, 1.0])
                bend = sign / rng.uniform(45, 140)
            ease, hold = rng.uniform(12, 25), rng.uniform(10, 35)
            heading += bend * (ease + hold)
            knots += [knots[-1] + ease, knots[-1] + ease + hold]
            curvature += [bend, bend]
        self.s = np.arange(-LEAD, length, STEP)
        self.curvature = np.interp(self.s, knots, curvature)
        self.heading = np.concatenate([[0.0], np.cumsum((self.curvature[1:] + self.curvature[:-1]) * (STEP / 2))])
        middle = (self.heading[1:] + self.heading[:-1]) / 2
        self.x = np.concatenate([[0.0], np.cumsum(np.cos(middle) * STEP)])
        self.y = np.concatenate([[0.0], np.cumsum(np.sin(middle) * STEP)])

    def at(self, s: Floats | float) -> tuple[Floats, Floats, Floats]:
        """x, y and heading of the centre line."""
        return np.interp(s, self.s, self.x), np.interp(s, self.s, self.y), np.interp(s, self.s, self.heading)

    def to_world(self, s: Floats | float, d: Floats | float) -> tuple[Floats, Floats, Floats]:
        """x, y and the road's heading of a point in road coordinates."""
        x, y, heading = self.at(s)
        return x - d * np.sin(heading), y + d * np.cos(heading), heading

    def to_road(self, x: Floats, y: Floats, near: float) -> tuple[Floats, Floats]:
        """s and d of points on the ground, searched by Newton steps from around ``near``."""
        x0, y0, heading0 = self.at(near)
        s = near + (x - x0) * np.cos(heading0) + (y - y0) * np.sin(heading0)
        for _ in range(5):
            s = np.clip(s, self.s[0], self.s[-1])
            place = (s - self.s[0]) / STEP
            index = np.minimum(place.astype(np.int64), len(self.s) - 2)
            part = place - index
            # The same straight pieces as in `at`, so that things and the ground agree to the millimetre.
            heading = self.heading[index] + part * (self.heading[index + 1] - self.heading[index])
            cos, sin = np.cos(heading), np.sin(heading)
            dx = x - (self.x[index] + part * (self.x[index + 1] - self.x[index]))
            dy = y - (self.y[index] + part * (self.y[index + 1] - self.y[index]))
            d = dy * cos - dx * sin
            s = s + (dx * cos + dy * sin) / np.maximum(1 - self.curvature[index] * d, 0.3)
        return s, d


class Drive:
    """Speed and place of the car at any time: stretches of constant acceleration, 0 to 14 m/s."""

    def __init__(self, rng: Generator, seconds: float) -> None:
        times, speeds = [0.0], [rng.uniform(6.0, 12.0)]
        stop_after = rng.uniform(20.0, 35.0)
        while times[-1] < seconds:
            if times[-1] > stop_after:
                target, hold, rate = 0.0, rng.uniform(2.0, 4.0), 2.2
                stop_after = times[-1] + rng.uniform(35.0, 60.0)
            else:
                target, hold, rate = rng.uniform(4.0, 14.0), rng.uniform(1.0, 5.0), rng.uniform(0.8, 2.0)
            change = abs(target - speeds[-1]) / rate + 0.5
            times += [times[-1] + change, times[-1] + change + hold]
            speeds += [target, target]
        self.times, self.speeds = np.array(times), np.array(speeds)
        steps = np.diff(self.times) * (self.speeds[1:] + self.speeds[:-1]) / 2
        self.travelled = np.concatenate([[0.0], np.cumsum(steps)])

    def speed(self, t: Floats | float) -> Floats:
        return np.interp(t, self.times, self.speeds)

    def distance(self, t: Floats | float) -> Floats:
        """Metres since t = 0; exact, since the speed is piecewise linear."""
        t = np.asarray(t, np.float64)
        k = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        dt = t - self.times[k]
        slope = (self.speeds[k + 1] - self.speeds[k]) / (self.times[k + 1] - self.times[k])
        return self.travelled[k] + self.speeds[k] * dt + slope * dt**2 / 2
