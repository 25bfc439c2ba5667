"""The strip of ground along the synthetic road: asphalt, markings, kerbs, pavement and grass, in road coordinates.

A strip is a picture whose columns run along the road (``PERIOD`` metres, then it repeats) and whose rows run from
``+HALF_WIDTH`` metres (left of the centre line) down to ``-HALF_WIDTH``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vidpred_ros.semantics import ROAD, SIDEWALK, TERRAIN
from vidpred_ros.sources.synthetic_textures import Array, blend, fractal_noise, value_noise

PERIOD = 96.0  # metres along the road
HALF_WIDTH = 20.0  # metres to either side
ROWS, COLS = 1000, 1920  # 4 cm across, 5 cm along


@dataclass(frozen=True)
class Layout:
    """Where the strips of the road lie, in metres from its centre line, the same on both sides."""

    style: str  # city: paved up to the houses; suburb: gardens; country: no kerb and no sidewalk
    lane: float  # outer edge of the lane
    kerb: float  # outer edge of the asphalt (beyond the lane: parked cars)
    walk: float  # outer edge of the sidewalk


def layout(rng: Generator, style: str) -> Layout:
    lane = rng.uniform(3.0, 3.6)
    if style == "country":
        return Layout(style, lane, lane + 0.35, lane + 0.35)
    kerb = lane + (2.2 if rng.random() < 0.75 else 0.4)
    return Layout(style, lane, kerb, kerb + rng.uniform(1.8, 3.0))


def ground_strip(rng: Generator, plan: Layout) -> Array:
    """ROWSxCOLSx3 RGB, 0..255, of one period of the road."""
    d = np.linspace(HALF_WIDTH, -HALF_WIDTH, ROWS, dtype=np.float32)[:, None]
    s = (np.arange(COLS, dtype=np.float32) + 0.5)[None] * (PERIOD / COLS)
    side = np.abs(d)
    broad = fractal_noise(rng, ROWS, COLS, 160, 5, 0.7)
    grain = value_noise(rng, ROWS, COLS, 1.0)
    medium = value_noise(rng, ROWS, COLS, 3.0)

    grass = np.array([92, 112, 54], np.float32) * rng.uniform(0.8, 1.15)
    beyond = paving(rng, s, d) if plan.style == "city" else np.broadcast_to(grass, (ROWS, COLS, 3))
    rough = (5.0, 4.0, 6.0) if plan.style == "city" else (12.0, 11.0, 9.0)
    image = beyond + (rough[0] * grain + rough[1] * medium + rough[2] * broad)[..., None]

    walk = paving(rng, s, d) + (4 * grain + 3 * medium + 5 * broad)[..., None]
    image = np.where((side < plan.walk)[..., None], walk, image)
    kerb_stone = np.array([168, 166, 160], np.float32) - 60 * (np.mod(s, 1.0) < 0.06)[..., None] + 5 * grain[..., None]
    if plan.style != "country":
        image = np.where((side < plan.kerb + 0.18)[..., None], kerb_stone, image)

    tone = rng.uniform(92, 142)
    asphalt = tone + 6.5 * grain + 4.5 * medium + 6 * broad
    asphalt -= 9 * np.exp(-(((side - plan.lane * 0.5) / 0.35) ** 2))  # oil and rubber in the middle of the lane
    asphalt += 5 * np.exp(-((np.abs(side - plan.lane * 0.5) - 0.8) / 0.25) ** 2)  # polished wheel tracks
    asphalt = np.where(side > plan.lane + 0.1, asphalt * rng.uniform(0.84, 1.08), asphalt)
    asphalt -= 26 * np.clip((side - plan.kerb + 0.35) / 0.35, 0, 1)  # wet dirt in the gutter
    road = asphalt[..., None] * np.array([1.0, 0.995, 0.975], np.float32)
    patches_and_cracks(rng, road, plan, tone)
    markings(rng, road, s, d, plan, medium)
    image = np.where((side < plan.kerb)[..., None], road, image)
    return np.clip(image, 0, 255).astype(np.float32)


def paving(rng: Generator, s: Array, d: Array) -> Array:
    """Slabs in a grid with darker joints, each slab with a tone of its own."""
    size = float(rng.choice([0.4, 0.6, 1.2, 1.6]))
    tone = rng.uniform(128, 172)
    columns, rows = np.floor(s / size).astype(np.int64), np.floor((d + HALF_WIDTH) / size).astype(np.int64)
    tones = rng.standard_normal((64, 64)).astype(np.float32) * 6
    slab = tones[rows % 64, columns % 60]
    joint = (np.mod(s, size) < 0.05) | (np.mod(d + HALF_WIDTH, size) < 0.05)
    gray = tone + slab - 28 * joint
    return np.asarray(gray[..., None] * np.array([1.0, 0.97, 0.92]), np.float32)


def patches_and_cracks(rng: Generator, road: Array, plan: Layout, tone: float) -> None:
    per_m = (ROWS / (2 * HALF_WIDTH), COLS / PERIOD)
    for _ in range(int(rng.integers(6, 14))):  # repairs: darker or lighter rectangles
        y, x = rng.uniform(-plan.kerb, plan.kerb - 1), rng.uniform(0, PERIOD - 8)
        y0, y1 = (round((HALF_WIDTH - e) * per_m[0]) for e in (y + rng.uniform(0.6, 2.4), y))
        x0, x1 = round(x * per_m[1]), round((x + rng.uniform(0.8, 7)) * per_m[1])
        road[y0:y1, x0:x1] += rng.uniform(-24, 16)
        road[y0:y1, [x0, x1]] -= 18
        road[[y0, y1], x0:x1] -= 18
    ink = np.zeros(road.shape[:2], np.uint8)
    for _ in range(int(rng.integers(4, 14))):  # cracks, sealed with tar
        x, y = rng.uniform(0, COLS - 200), (HALF_WIDTH + rng.uniform(-plan.kerb, plan.kerb)) * per_m[0]
        along = rng.random() < 0.5
        steps = rng.normal(0, 2.5, (20, 2)) + ((10, 0) if along else (0, 6))
        line = (np.array([x, y]) + np.cumsum(steps, axis=0)).round().astype(np.int32)
        cv2.polylines(ink, [line], False, 255, 1, cv2.LINE_AA)
    blend(road, (tone * 0.5,) * 3, ink.astype(np.float32) / 255 * 0.6)
    for _ in range(5):  # manhole covers
        x, y = rng.uniform(1, PERIOD - 1) * per_m[1], (HALF_WIDTH + rng.uniform(-plan.lane, plan.lane)) * per_m[0]
        disc = np.zeros_like(ink)
        cv2.ellipse(disc, (round(x), round(y)), (7, 9), 0, 0, 360, 255, -1, cv2.LINE_AA)
        blend(road, (tone * 0.55,) * 3, disc.astype(np.float32) / 255 * 0.85)


def markings(rng: Generator, road: Array, s: Array, d: Array, plan: Layout, wear: Array) -> None:
    """Centre line (dashed, or double in the American manner), edge lines, sometimes parking bays."""
    texel = 2 * HALF_WIDTH / ROWS
    paint = np.clip(0.86 + 0.16 * wear, 0, 1)

    def line(centre: float, width: float) -> Array:
        return np.clip((width / 2 - np.abs(d - centre)) / texel + 0.5, 0, 1)

    white, yellow = (226.0, 226.0, 220.0), (214.0, 170.0, 60.0)
    if rng.random() < 0.3:
        cover = np.maximum(line(0.14, 0.11), line(-0.14, 0.11)) * np.ones_like(s)
        blend(road, yellow, cover * paint)
    else:
        period = float(rng.choice([6.0, 8.0, 12.0]))
        dash = np.clip((period * 0.25 - np.abs(np.mod(s, period) - period / 2)) / 0.05 + 0.5, 0, 1)
        blend(road, white, line(0.0, 0.15) * dash * paint)
    for side in (-1, 1):
        blend(road, white, line(side * plan.lane, 0.14) * paint * np.ones_like(s))
    for _ in range(int(rng.integers(0, 3)) * (plan.style != "country")):  # zebra crossing
        start, length = rng.uniform(0, PERIOD - 5), rng.uniform(2.8, 4.0)
        stripes = np.clip((0.25 - np.abs(np.mod(d, 1.0) - 0.5)) / texel + 0.5, 0, 1) * (np.abs(d) < plan.kerb - 0.3)
        blend(road, white, stripes * ((s > start) & (s < start + length)) * paint)
    if plan.kerb > plan.lane + 1 and rng.random() < 0.5:
        bay = np.clip((0.06 - np.abs(np.mod(s, 6.0) - 3.0)) / 0.05 + 0.5, 0, 1)
        blend(road, white, bay * ((np.abs(d) > plan.lane) & (np.abs(d) < plan.kerb - 0.1)) * paint)


def ground_classes(plan: Layout, cells: int = 2000) -> NDArray[np.uint8]:
    """Train id for |d| from 0 to HALF_WIDTH in equal cells."""
    side = (np.arange(cells) + 0.5) * (HALF_WIDTH / cells)
    beyond = SIDEWALK if plan.style == "city" else TERRAIN
    return np.where(side < plan.kerb, ROAD, np.where(side < plan.walk, SIDEWALK, beyond)).astype(np.uint8)
