"""Cars, vans and buses of the synthetic street: a side profile pulled out to the vehicle's width, with a texture on each face.

Vehicle coordinates: metres, origin on the ground below the middle, x forward, y left, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vidpred_ros.semantics import BUS, CAR, TRUCK
from vidpred_ros.sources.synthetic_textures import Array, blend, polygon, soft_shadow, solid, value_noise

PX_PER_M = 48.0


@dataclass(frozen=True)
class Face:
    """A textured parallelogram: corner (top left of the texture), edge along the width, edge along the height."""

    origin: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]
    texture: Array
    shade: float = 1.0


@dataclass(frozen=True)
class Vehicle:
    label: int
    length: float
    width: float
    faces: list[Face]
    shadow: Face


def vehicle(rng: Generator, kind: str) -> Vehicle:
    """``kind``: car, van, truck or bus."""
    if kind == "car":
        length, width, height = rng.uniform(3.9, 4.7), rng.uniform(1.7, 1.85), rng.uniform(1.42, 1.62)
        estate = rng.random() < 0.5  # profile (x / length, z / height), front to rear over the top
        tail = [(-0.44, 0.97), (-0.495, 0.6)] if estate else [(-0.24, 0.98), (-0.36, 0.66), (-0.49, 0.62)]
        profile = [(0.5, 0.28), (0.49, 0.47), (0.24, 0.62), (0.08, 0.97), (-0.1, 1.0), *tail, (-0.5, 0.25)]
        label = CAR
    elif kind == "van":
        length, width, height = rng.uniform(4.8, 5.6), 1.95, rng.uniform(2.1, 2.5)
        profile = [(0.5, 0.18), (0.49, 0.38), (0.38, 0.5), (0.27, 0.96), (0.2, 1.0), (-0.49, 0.99), (-0.5, 0.16)]
        label = CAR
    else:
        length, width, height = (rng.uniform(7, 9), 2.4, 3.2) if kind == "truck" else (11.5, 2.5, 3.05)
        profile = [(0.5, 0.14), (0.495, 0.45), (0.485, 0.97), (0.46, 1.0), (-0.5, 1.0), (-0.5, 0.14)]
        label = TRUCK if kind == "truck" else BUS
    paints = [[206, 208, 210], [40, 42, 46], [120, 124, 130], [150, 28, 30], [36, 62, 120], [84, 92, 98], [188, 178, 150], [44, 84, 70]]
    paint = np.array(paints[int(rng.integers(len(paints)))], np.float32) * rng.uniform(0.85, 1.1)
    points = [(x * length, z * height) for x, z in profile]
    faces = [
        Face((length / 2, width / 2, height), (-length, 0, 0), (0, 0, -height), side := side_view(rng, points, length, height, paint, kind), 0.9),
        Face((-length / 2, -width / 2, height), (length, 0, 0), (0, 0, -height), side[:, ::-1].copy(), 0.9),
    ]
    for number, (a, b) in enumerate(zip(points[:-1], points[1:], strict=True)):
        front = a[1] < b[1]  # rising part of the profile: seen from ahead
        top, low = (b, a) if front else (a, b)
        part = strip(rng, kind, front, top, low, width, height, paint, first=number == 0, last=number == len(points) - 2)
        sign = 1 if front else -1
        shade = 1.0 if abs(top[0] - low[0]) < abs(top[1] - low[1]) else 1.12
        faces.append(Face((top[0], -sign * width / 2, top[1]), (0, sign * width, 0), (low[0] - top[0], 0, low[1] - top[1]), part, shade))
    grow = 0.25
    shadow = Face((length / 2 + grow, width / 2 + grow, 0.0), (-length - 2 * grow, 0, 0), (0, -width - 2 * grow, 0), soft_shadow())
    return Vehicle(label, length, width, faces, shadow)


def side_view(rng: Generator, points: list[tuple[float, float]], length: float, height: float, paint: Array, kind: str) -> Array:
    """The left side, nose to the left, with wheels, windows, door gaps and a reflection of the sky."""
    h, w = round(height * PX_PER_M), round(length * PX_PER_M)

    def place(x: float, z: float) -> tuple[float, float]:
        return 0.5 - x / length, 1 - z / height

    body = polygon((h, w), [place(*p) for p in points])
    image = np.empty((h, w, 3), np.float32)
    rise = np.linspace(1.18, 0.55, h, dtype=np.float32)[:, None, None]
    image[:] = paint * rise
    image += value_noise(rng, h, w, 22)[..., None] * 3
    belt = 0.6 * height if kind == "car" else 0.52 * height
    if kind in ("car", "van"):
        roof_front, roof_rear = points[3], points[-3 if kind == "car" and len(points) == 8 else -4 if kind == "car" else -2]
        base_front = points[2]
        rear_x = max(roof_rear[0] - 0.02 * length, -0.43 * length) if kind == "car" else base_front[0] - 0.3 * length
        window = [place(base_front[0] - 0.05 * length, belt), place(roof_front[0] - 0.01 * length, 0.93 * height),
                  place(rear_x + 0.06 * length, 0.93 * height), place(rear_x, belt)]  # fmt: skip
        blend(image, np.array([44.0, 52, 60]) * rise * 1.25, polygon((h, w), window))
        for x in (0.02, -0.2):
            pillar = [place(x * length - 0.03, belt), place(x * length - 0.03, height), place(x * length + 0.03, height), place(x * length + 0.03, belt)]
            blend(image, paint * 0.5, polygon((h, w), pillar) * 0.9)
        for x in (0.2, 0.0, -0.21):
            gap = [place(x * length - 0.012, 0.22 * height), place(x * length - 0.012, belt), place(x * length + 0.012, belt), place(x * length + 0.012, 0.22 * height)]
            blend(image, paint * 0.3, polygon((h, w), gap) * 0.8)
    elif kind == "bus":
        windows = [place(0.47 * length, 0.9 * height), place(-0.48 * length, 0.9 * height), place(-0.48 * length, 0.45 * height), place(0.47 * length, 0.45 * height)]
        blend(image, (40.0, 48.0, 56.0), polygon((h, w), windows))
    radius = 0.32 if kind in ("car", "van") else 0.48
    for x in (0.31, -0.3):
        ring = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 28)]
        arch = polygon((h, w), [place(x * length + 1.15 * radius * c, radius + 1.15 * radius * s) for c, s in ring])
        blend(image, (12.0, 12.0, 14.0), arch)
        tyre = polygon((h, w), [place(x * length + radius * c, radius + radius * s) for c, s in ring])
        blend(image, (24.0, 24.0, 26.0), tyre)
        rim = polygon((h, w), [place(x * length + 0.62 * radius * c, radius + 0.62 * radius * s) for c, s in ring])
        blend(image, (128.0, 130.0, 134.0), rim)
        blend(image, (70.0, 72.0, 76.0), polygon((h, w), [place(x * length + 0.25 * radius * c, radius + 0.25 * radius * s) for c, s in ring]))
        body = np.maximum(body, tyre)
    return solid(image, body)


def strip(
    rng: Generator, kind: str, front: bool, top: tuple[float, float], low: tuple[float, float], width: float, height: float, paint: Array,
    first: bool, last: bool,
) -> Array:  # fmt: skip
    """One face across the vehicle: bumper, lights, grille, glass, bonnet or roof, told by where it lies."""
    extent = float(np.hypot(top[0] - low[0], top[1] - low[1]))
    h, w = max(4, round(extent * PX_PER_M)), round(width * PX_PER_M)
    image = np.empty((h, w, 3), np.float32)
    steep = abs(top[1] - low[1]) > 0.4 * extent
    rise = np.linspace(1.1, 0.72, h, dtype=np.float32)[:, None, None] if steep else np.float32(1.0)
    image[:] = paint * rise
    image += value_noise(rng, h, w, 20)[..., None] * 3
    cover: NDArray[np.float32] | float = 1.0
    upper = top[1] / height > 0.9 and kind == "car" or kind == "van" and front and top[1] / height > 0.9
    if upper and steep:  # the glass of a cabin that narrows towards the roof
        cover = polygon((h, w), [(0.11, 0), (0.89, 0), (1, 1), (0, 1)])
        pane = polygon((h, w), [(0.17, 0.08), (0.83, 0.08), (0.93, 0.92 if not last else 0.6), (0.07, 0.92 if not last else 0.6)])
        blend(image, np.array([50.0, 60, 70]) * np.linspace(1.7, 0.7, h)[:, None, None], pane)
    elif upper:
        cover = polygon((h, w), [(0.11, 0), (0.89, 0), (0.89, 1), (0.11, 1)])
    if kind in ("truck", "bus") and front and top[1] / height > 0.9 and steep:
        blend(image, (44.0, 54.0, 64.0), polygon((h, w), [(0.04, 0.1), (0.96, 0.1), (0.96, 0.95), (0.04, 0.95)]))
    if first or last:  # the lowest faces carry lights, plate and bumper
        tall = (top[1] - low[1]) if steep else extent
        lamp = np.array([236.0, 236, 226]) if front else np.array([176.0, 22, 20])
        y0, y1 = (0.02, 0.4) if tall < 0.5 else (0.1, 0.1 + 0.2 / tall)
        for x0, x1 in ((0.03, 0.22), (0.78, 0.97)):
            blend(image, lamp, polygon((h, w), [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]))
        if kind in ("van", "bus", "truck") and last:
            blend(image, (48.0, 56.0, 64.0), polygon((h, w), [(0.1, 0.08), (0.9, 0.08), (0.9, 0.36), (0.1, 0.36)]) * (kind != "truck"))
            blend(image, paint * 0.4, polygon((h, w), [(0.495, 0), (0.505, 0), (0.505, 0.8), (0.495, 0.8)]))
        blend(image, (34.0, 34.0, 36.0), polygon((h, w), [(0.02, 0.82), (0.98, 0.82), (0.98, 1), (0.02, 1)]))
        blend(image, (226.0, 226.0, 216.0), polygon((h, w), [(0.36, 0.52), (0.64, 0.52), (0.64, 0.74), (0.36, 0.74)]))
        if front:
            blend(image, (26.0, 26.0, 28.0), polygon((h, w), [(0.26, 0.08), (0.74, 0.08), (0.7, 0.46), (0.3, 0.46)]))
    return solid(image, cover)
