"""Cars, vans, trucks and buses of the synthetic street: a side profile pulled out to the vehicle's width, a texture on each face.

Vehicle coordinates: metres, origin on the ground below the middle, x forward, y left, z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from vidpred_ros.semantics import BUS, CAR, TRUCK
from vidpred_ros.sources.synthetic_textures import Array, blend, polygon, soft_shadow, solid, value_noise

PX_PER_M = 48.0
TAPER = 0.11  # how much of its width a car's cabin loses on either side towards the roof
PAINTS = (
    (206, 208, 210), (40, 42, 46), (112, 116, 122), (142, 30, 32), (40, 62, 110), (76, 84, 90), (176, 168, 146), (46, 76, 66),
    (186, 188, 192), (58, 60, 66),
)  # fmt: skip
GLASS = np.array([46.0, 54.0, 62.0], np.float32)

Point = tuple[float, float]  # x, z on the side profile


@dataclass(frozen=True)
class Face:
    """A textured parallelogram: corner (top left of the texture), edge along the width, edge along the height."""

    origin: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]
    texture: Array
    shade: float = 1.0
    two_sided: bool = False


@dataclass(frozen=True)
class Vehicle:
    label: int
    length: float
    width: float
    height: float
    near: list[Face]
    far: list[Face]  # a box with the same look, for when it is a few pixels high
    shadow: Face


def fleet(rng: Generator, kinds: Sequence[str]) -> list[Vehicle]:
    """A vehicle of each kind (car, van, truck, bus), no two of one colour."""
    paints = rng.permutation(len(PAINTS))
    return [vehicle(rng, kind, np.array(PAINTS[k], np.float32)) for kind, k in zip(kinds, paints, strict=False)]


def vehicle(rng: Generator, kind: str, paint: Array) -> Vehicle:
    if kind == "car":
        length, width, height = rng.uniform(3.9, 4.7), rng.uniform(1.7, 1.85), rng.uniform(1.42, 1.62)
        estate = rng.random() < 0.5  # profile (x / length, z / height), front to rear over the top
        tail = [(-0.43, 0.97), (-0.495, 0.6)] if estate else [(-0.22, 0.98), (-0.36, 0.66), (-0.49, 0.62)]
        profile = [(0.5, 0.24), (0.49, 0.46), (0.24, 0.62), (0.08, 0.97), (-0.08, 1.0), *tail, (-0.5, 0.22)]
        label = CAR
    elif kind == "van":
        length, width, height = rng.uniform(4.8, 5.6), 1.95, rng.uniform(2.0, 2.4)
        profile = [(0.5, 0.18), (0.49, 0.38), (0.38, 0.5), (0.27, 0.96), (0.2, 1.0), (-0.49, 0.99), (-0.5, 0.16)]
        label = CAR
    else:
        length, width, height = (rng.uniform(7, 9), 2.4, 3.2) if kind == "truck" else (11.5, 2.5, 3.05)
        profile = [(0.5, 0.14), (0.495, 0.45), (0.485, 0.97), (0.46, 1.0), (-0.5, 1.0), (-0.5, 0.14)]
        label = TRUCK if kind == "truck" else BUS
    paint = paint * np.float32(rng.uniform(0.85, 1.1))
    points = [(x * length, z * height) for x, z in profile]
    side = side_view(rng, points, length, height, paint, kind)
    across = across_faces(rng, points, width, height, paint, kind)
    axles = axle_faces(length, width, 0.32 if kind in ("car", "van") else 0.48)
    far = side_faces(side, length, width, height, 0.0, 1.0)
    for front in (True, False):
        look = end_view([f for f in across if (f.u[1] > 0) == front], height, width)
        sign = 1 if front else -1
        far.append(Face((sign * 0.48 * length, -sign * width / 2, height), (0, sign * width, 0), (0, 0, -height), look))
    if kind == "car":
        belt = 0.6
        sides = side_faces(side, length, width, height, 1 - belt - 0.02, 1.0)
        sides += side_faces(side, length, width, height, 0.0, 1 - belt, lean=TAPER * width)
    else:
        sides = side_faces(side, length, width, height, 0.0, 1.0)
    grow = 0.3
    shadow = Face(
        (length / 2 + grow, width / 2 + grow, 0.0), (-length - 2 * grow, 0, 0), (0, -width - 2 * grow, 0), soft_shadow(), two_sided=True
    )
    return Vehicle(label, length, width, height, [*axles, *sides, *across], far, shadow)


def side_faces(view: Array, length: float, width: float, height: float, top: float, bottom: float, lean: float = 0.0) -> list[Face]:
    """Both sides from ``top`` to ``bottom`` (0..1 of the height, downwards); ``lean`` metres inwards at the top."""
    rows = round(top * view.shape[0]), round(bottom * view.shape[0])
    high, low = (height * (1 - row / view.shape[0]) for row in rows)
    part = np.ascontiguousarray(view[rows[0] : rows[1]])
    left = Face((length / 2, width / 2 - lean, high), (-length, 0, 0), (0, lean, low - high), part, 0.92)
    right = Face((-length / 2, lean - width / 2, high), (length, 0, 0), (0, -lean, low - high), part[:, ::-1].copy(), 0.92)
    return [left, right]


def side_view(rng: Generator, points: list[Point], length: float, height: float, paint: Array, kind: str) -> Array:
    """The left side, nose to the left: windows, pillars, door gaps, wheels; brighter above, where it mirrors the sky."""
    h, w = round(height * PX_PER_M), round(length * PX_PER_M)

    def area(*corners: Point) -> Array:
        return polygon((h, w), [(0.5 - x / length, 1 - z / height) for x, z in corners])

    def bar(x: float, half: float, low: float, high: float) -> Array:
        return area((x - half, low), (x - half, high), (x + half, high), (x + half, low))

    body = area(*points)
    rise = np.linspace(1.18, 0.55, h, dtype=np.float32)[:, None, None]
    image = np.empty((h, w, 3), np.float32)
    image[:] = paint * rise
    image += value_noise(rng, h, w, 22)[..., None] * 3
    if kind in ("car", "van"):
        belt = (0.61 if kind == "car" else 0.55) * height
        front, roof = points[2][0], points[3][0]
        rear = points[5][0] if kind == "car" else front - 0.3 * length
        foot = points[6][0] if kind == "car" else rear
        foot = max(foot, -0.44 * length)
        glass = area((front - 0.06 * length, belt), (roof - 0.01 * length, 0.93 * height), (rear, 0.93 * height), (foot + 0.03 * length, belt))
        blend(image, GLASS * rise * 1.25, glass)
        for x in (0.02, -0.2):
            blend(image, paint * 0.45, bar(x * length, 0.035, belt, height) * 0.9)
        for x in (0.2, 0.0, -0.21):
            blend(image, paint * 0.3, bar(x * length, 0.012, 0.22 * height, belt) * 0.8)
        for x in (-0.03, -0.24):
            blend(image, paint * 0.4, area((x * length, belt * 0.9), (x * length - 0.18, belt * 0.9), (x * length - 0.18, belt * 0.86), (x * length, belt * 0.86)))  # fmt: skip
        blend(image, (30.0, 30.0, 32.0), bar(0.0, 0.3 * length, 0.19 * height, 0.25 * height))
    elif kind == "bus":
        blend(image, GLASS, bar(0.0, 0.475 * length, 0.45 * height, 0.88 * height))
        for x in np.linspace(-0.36, 0.36, 7):
            blend(image, paint * 0.6, bar(x * length, 0.05, 0.45 * height, 0.88 * height))
    else:
        blend(image, GLASS, area((0.47 * length, 0.5 * height), (0.46 * length, 0.85 * height), (0.36 * length, 0.85 * height), (0.36 * length, 0.5 * height)))  # fmt: skip
        blend(image, paint * 0.3, bar(0.3 * length, 0.08, 0.14 * height, height))
        blend(image, paint * 1.15, bar(-0.12 * length, 0.36 * length, 0.28 * height, height) * 0.5)
    radius = 0.32 if kind in ("car", "van") else 0.48
    for x in (0.31, -0.3):
        for scale, tone in ((1.16, 12.0), (1.0, 24.0), (0.64, 122.0), (0.5, 84.0), (0.2, 130.0)):
            angles = np.linspace(0, 2 * np.pi, 28)
            disc = area(*((x * length + scale * radius * np.cos(a), radius + scale * radius * np.sin(a)) for a in angles))
            blend(image, (tone, tone, tone * 1.03), disc)
            if scale == 1.0:
                body = np.maximum(body, disc)
    return solid(image, body)


def across_faces(rng: Generator, points: list[Point], width: float, height: float, paint: Array, kind: str) -> list[Face]:
    """The faces that run across the vehicle, from the front bumper over the roof to the rear bumper."""
    faces = []
    for number, (a, b) in enumerate(pairwise(points)):
        front = a[1] < b[1]  # the profile rises: seen from ahead
        top, low = (b, a) if front else (a, b)
        steep = top[1] - low[1] > 0.4 * float(np.hypot(top[0] - low[0], top[1] - low[1]))
        size = max(4, round(float(np.hypot(top[0] - low[0], top[1] - low[1])) * PX_PER_M)), round(width * PX_PER_M)
        image = np.empty((*size, 3), np.float32)
        image[:] = paint * (np.linspace(1.1, 0.75, size[0], dtype=np.float32)[:, None, None] if steep else 1.12)
        image += value_noise(rng, *size, 20)[..., None] * 3
        cover = np.ones(size, np.float32)
        cabin = top[1] / height > 0.9
        if cabin and kind == "car":
            cover = polygon(size, [(TAPER, 0), (1 - TAPER, 0), *([(1, 1), (0, 1)] if steep else [(1 - TAPER, 1), (TAPER, 1)])])
        if cabin and steep and (front or kind == "car"):
            inset = TAPER if kind == "car" else 0.0
            pane = polygon(size, [(0.06 + inset, 0.08), (0.94 - inset, 0.08), (0.95, 0.93), (0.05, 0.93)])
            blend(image, GLASS * np.linspace(1.7, 0.7, size[0], dtype=np.float32)[:, None, None], pane)
        if number in (0, len(points) - 2):
            lights_and_plate(image, front, kind, top[1] - low[1], paint)
        sign = 1 if front else -1
        edge = (low[0] - top[0], 0.0, low[1] - top[1])
        faces.append(Face((top[0], -sign * width / 2, top[1]), (0, sign * width, 0), edge, solid(image, cover)))
    return faces


def lights_and_plate(image: Array, front: bool, kind: str, tall: float, paint: Array) -> None:
    """Lamps, number plate, bumper and grille (front), or doors and their windows (the rear of a van or a bus)."""
    size = image.shape[:2]

    def mark(color: tuple[float, float, float] | Array, x0: float, y0: float, x1: float, y1: float, strength: float = 1.0) -> None:
        blend(image, color, polygon(size, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) * strength)

    if not front and kind in ("van", "bus"):
        mark(GLASS, 0.1, 0.08, 0.9, 0.36)
    if not front and kind in ("van", "truck"):
        mark(paint * 0.4, 0.495, 0, 0.505, 0.8)
    mark((34, 34, 36), 0.01, 1 - 0.16 / max(tall, 0.4), 0.99, 1)
    top = 0.06 if tall < 0.7 else 0.5
    lamp = (236.0, 236.0, 228.0) if front else (168.0, 20.0, 20.0)
    for x in (0.03, 0.8):
        mark(lamp, x, top, x + 0.17, top + 0.16 / tall)
        mark((210, 120, 40), x + (0.0 if x < 0.5 else 0.13), top, x + (0.04 if x < 0.5 else 0.17), top + 0.16 / tall, 0.7)
    if front:
        mark((26, 26, 28), 0.27, top, 0.73, top + 0.14 / tall)
    mark((214, 214, 204), 0.37, min(top + 0.2 / tall, 0.76), 0.63, min(top + 0.31 / tall, 0.92))


def axle_faces(length: float, width: float, radius: float) -> list[Face]:
    """The tyres as seen from the front and from behind, under the bumpers."""
    h, w = round(2 * radius * PX_PER_M), round(width * PX_PER_M)
    tyre = 0.22 / width
    cover = np.maximum(polygon((h, w), [(0.02, 0), (tyre, 0), (tyre, 1), (0.02, 1)]), polygon((h, w), [(1 - tyre, 0), (0.98, 0), (0.98, 1), (1 - tyre, 1)]))
    cover = np.maximum(cover, polygon((h, w), [(0, 0), (1, 0), (1, 0.6), (0, 0.6)]))
    texture = solid(np.full((h, w, 3), 20.0, np.float32), cover)
    front = Face((0.36 * length, -width / 2, 2 * radius), (0, width, 0), (0, 0, -2 * radius), texture)
    rear = Face((-0.36 * length, width / 2, 2 * radius), (0, -width, 0), (0, 0, -2 * radius), texture)
    return [front, rear]


def end_view(faces: list[Face], height: float, width: float) -> Array:
    """The faces of one end as they look from straight ahead or straight behind."""
    h, w = round(height * PX_PER_M), round(width * PX_PER_M)
    view = np.zeros((h, w, 4), np.float32)
    view[round(0.7 * h) :, round(0.03 * w) : round(0.97 * w)] = (16, 16, 17, 1)
    for face in faces:
        y0 = round((1 - face.origin[2] / height) * h)
        y1 = round((1 - (face.origin[2] + face.v[2]) / height) * h)
        if y1 > y0:
            view[y0:y1] = cv2.resize(face.texture, (w, y1 - y0), interpolation=cv2.INTER_AREA)
    return view
