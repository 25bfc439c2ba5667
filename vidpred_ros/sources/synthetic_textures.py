"""Pictures of the things in the synthetic street, drawn from a random generator.

Every texture is HxWx4 float32: RGB in 0..255 already multiplied by alpha, then alpha in 0..1. Premultiplied colour can be
averaged and interpolated without dark or bright seams at the edge of a shape.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]


def value_noise(rng: Generator, height: int, width: int, cell: float, cell_x: float | None = None) -> Array:
    """Smooth noise with unit variance that repeats at its edges; ``cell`` is the size of a bump in pixels."""
    rows = max(2, round(height / cell))
    cols = max(2, round(width / (cell_x or cell)))
    grid = rng.standard_normal((rows, cols)).astype(np.float32)
    grid = np.pad(grid, 2, mode="wrap")
    xs = (np.arange(width, dtype=np.float32) + 0.5) * cols / width + 1.5
    ys = (np.arange(height, dtype=np.float32) + 0.5) * rows / height + 1.5
    noise = cv2.remap(grid, *np.meshgrid(xs, ys), interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def fractal_noise(rng: Generator, height: int, width: int, cell: float, octaves: int, gain: float = 0.6) -> Array:
    """Sum of value noises, each with half the bump size and ``gain`` times the strength of the one before."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        total += gain**octave * value_noise(rng, height, width, max(cell / 2**octave, 1.0))
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def solid(rgb: Array, alpha: Array | float = 1.0) -> Array:
    """HxWx3 colour and a coverage to a premultiplied texture."""
    rgb = np.clip(rgb, 0, 255).astype(np.float32)
    cover = np.broadcast_to(np.asarray(alpha, np.float32), rgb.shape[:2])[..., None]
    return np.concatenate([rgb * cover, cover], axis=2)


def polygon(size: tuple[int, int], points: list[tuple[float, float]]) -> Array:
    """Antialiased coverage of a polygon given in 0..1 of (width, height)."""
    height, width = size
    mask = np.zeros((height, width), np.uint8)
    scaled = np.array([[x * width * 16 - 8, y * height * 16 - 8] for x, y in points]).round().astype(np.int32)
    cv2.fillPoly(mask, [scaled], 255, cv2.LINE_AA, 4)
    return np.asarray(mask, np.float32) / np.float32(255)


def blend(image: Array, color: ArrayLike, cover: ArrayLike) -> None:
    """Paint a colour over an RGB image in place."""
    cover = np.asarray(cover, np.float32)
    image += (np.asarray(color, np.float32) - image) * (cover[..., None] if cover.ndim else cover)


def facade(rng: Generator, width_m: float, height_m: float, px_per_m: float = 20.0) -> Array:
    """A house front: plaster or brick, rows of windows, a door or a shop at street level, ledges and dirt."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    hue = rng.choice(
        np.array(
            [[188, 170, 140], [170, 110, 84], [200, 190, 176], [150, 140, 132], [196, 160, 112], [128, 84, 70], [206, 206, 200]]
        )
    )
    image = np.empty((h, w, 3), np.float32)
    image[:] = hue * rng.uniform(0.75, 1.05)
    if rng.random() < 0.5:  # brick courses
        ys, xs = np.mgrid[:h, :w].astype(np.float32) / px_per_m
        course = np.floor(ys / 0.15)
        joint = (np.mod(ys, 0.15) < 0.04) | (np.mod(xs + 0.15 * np.mod(course, 2), 0.3) < 0.04)
        brick = value_noise(rng, h, w, 3, 6) * 9
        image += brick[..., None] - 18 * cv2.GaussianBlur(joint.astype(np.float32), (0, 0), 0.6)[..., None]
    image += (fractal_noise(rng, h, w, 80, 6, 0.75) * 8)[..., None]
    storeys = max(1, round(height_m / 3.1))
    storey_h = h / storeys
    bays = max(2, round(width_m / rng.uniform(2.0, 3.0)))
    bay_w = w / bays
    win_w, win_h = bay_w * rng.uniform(0.4, 0.58), storey_h * rng.uniform(0.48, 0.62)
    frame = np.array([235, 232, 226]) if rng.random() < 0.6 else np.array([70, 60, 52])
    shop = storeys >= 2 and rng.random() < 0.55
    for storey in range(storeys):
        top = storey * storey_h + (storey_h - win_h) * 0.45
        ground = storey == storeys - 1
        door = int(rng.integers(bays)) if ground else -1
        for bay in range(bays):
            centre = (bay + 0.5) * bay_w
            if bay == door:
                half, y0, y1 = min(0.55 * px_per_m, win_w / 2), h - 2.3 * px_per_m, h
                box(image, centre - half - 2, y0 - 2, centre + half + 2, y1, frame)
                box(image, centre - half, y0, centre + half, y1, rng.uniform(30, 110, 3))
            elif ground and shop:
                glass(rng, image, centre - bay_w * 0.45, h - 2.6 * px_per_m, centre + bay_w * 0.45, h - 0.4 * px_per_m, frame)
            else:
                glass(rng, image, centre - win_w / 2, top, centre + win_w / 2, top + win_h, frame)
                box(image, centre - win_w * 0.58, top + win_h + 2, centre + win_w * 0.58, top + win_h + 4, hue * 0.6)
        if storey and (storey == storeys - 1 or rng.random() < 0.3):
            box(image, 0, storey * storey_h - 2, w, storey * storey_h + 2, hue * 1.15)
            box(image, 0, storey * storey_h + 2, w, storey * storey_h + 4, hue * 0.55)
    if shop:
        sign = rng.uniform(40, 200, 3)
        y0 = h - 3.2 * px_per_m
        box(image, w * 0.04, y0, w * 0.96, y0 + 0.5 * px_per_m, sign)
        letters = value_noise(rng, max(3, round(0.25 * px_per_m)), w, 3, 4) > 0.2
        y0i = round(y0 + 0.12 * px_per_m)
        strip = image[y0i : y0i + letters.shape[0], round(w * 0.3) : round(w * 0.7)]
        blend(strip, 255 - sign * 0.4, letters[: strip.shape[0], round(w * 0.3) : round(w * 0.7)] * 0.8)
    box(image, 0, 0, w, 0.25 * px_per_m, hue * 0.8)
    box(image, 0, 0.25 * px_per_m, w, 0.35 * px_per_m, hue * 0.4)
    image *= np.linspace(1.04, 0.86, h, dtype=np.float32)[:, None, None]
    return solid(image)


def box(image: Array, x0: float, y0: float, x1: float, y1: float, color: ArrayLike) -> None:
    """Fill a rectangle given in pixels."""
    image[max(round(y0), 0) : max(round(y1), 0), max(round(x0), 0) : max(round(x1), 0)] = color


def glass(rng: Generator, image: Array, x0: float, y0: float, x1: float, y1: float, frame: Array) -> None:
    """A window: frame, dark glass that mirrors a bright sky above, sometimes a curtain, and a cross bar."""
    box(image, x0 - 2, y0 - 2, x1 + 2, y1 + 2, frame * 0.9)
    ya, yb, xa, xb = round(max(y0, 0)), round(y1), round(max(x0, 0)), round(x1)
    pane = image[ya:yb, xa:xb]
    if pane.size == 0:
        return
    tone = rng.uniform(18, 75)
    slope = np.linspace(rng.uniform(1.0, 2.2), 0.7, pane.shape[0], dtype=np.float32)[:, None, None]
    pane[:] = np.array([0.85, 0.95, 1.1], np.float32) * tone * slope
    if rng.random() < 0.4:
        pane[: round(pane.shape[0] * rng.uniform(0.2, 0.8))] = rng.uniform(110, 200) * np.array([1.0, 0.97, 0.9])
    box(image, (x0 + x1) / 2 - 1, y0, (x0 + x1) / 2 + 1, y1, frame * 0.85)


def end_wall(rng: Generator, width_m: float, eaves_m: float, gable_m: float, px_per_m: float = 12.0) -> Array:
    """The narrow side of a house: blocks or plaster, few windows, and the triangle under a pitched roof if ``gable_m`` > 0."""
    h, w = round((eaves_m + gable_m) * px_per_m), round(width_m * px_per_m)
    eaves = 1 - eaves_m / (eaves_m + gable_m)  # from the top, 0..1
    image = np.empty((h, w, 3), np.float32)
    image[:] = rng.uniform(110, 185) * np.array([1.0, rng.uniform(0.86, 0.98), rng.uniform(0.74, 0.96)])
    image += (fractal_noise(rng, h, w, 60, 6, 0.8) * 6)[..., None]
    if rng.random() < 0.5:
        ys, xs = np.mgrid[:h, :w] / px_per_m
        joint = (np.mod(ys, 0.25) < 0.09) | (np.mod(xs + 0.25 * np.mod(np.floor(ys / 0.25), 2), 0.5) < 0.09)
        image += (value_noise(rng, h, w, 3, 6) * 7 - 14 * joint)[..., None]
    for row in range(int(rng.integers(0, 3))):
        for column in range(int(rng.integers(1, 4))):
            x, y = (0.15 + 0.25 * column) * w, (eaves + (0.1 + 0.33 * row) * (1 - eaves)) * h
            glass(rng, image, x, y, x + px_per_m * 0.9, y + px_per_m * 1.3, np.array([210, 206, 198]))
    if not gable_m:
        return solid(image)
    image[: round(eaves * h)] *= 0.94
    blend(image, (44.0, 48.0, 54.0), polygon((h, w), [(0.46, 0.5 * eaves), (0.54, 0.5 * eaves), (0.54, 0.85 * eaves), (0.46, 0.85 * eaves)]))
    return solid(image, polygon((h, w), [(0.5, 0), (1, eaves), (1, 1), (0, 1), (0, eaves)]))


def roof(rng: Generator, width_m: float, height_m: float, px_per_m: float = 14.0) -> Array:
    """Tiles in rows."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    hue = rng.choice(np.array([[150, 78, 56], [96, 92, 92], [118, 70, 58], [84, 78, 74]]))
    image = np.empty((h, w, 3), np.float32)
    image[:] = hue
    rows = np.mod(np.arange(h) / px_per_m, 0.35) < 0.09
    image[rows] *= 0.72
    image += (value_noise(rng, h, w, 4, 5) * 9 + fractal_noise(rng, h, w, 50, 3) * 6)[..., None]
    return solid(image)


def tree(rng: Generator, width_m: float, height_m: float, px_per_m: float = 26.0, trunk: bool = True) -> Array:
    """A crown of leaf clusters, lit from above, on a trunk (or without one)."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    trunk_x = w * rng.uniform(0.46, 0.54)
    cover = np.zeros((h, w), np.float32)
    image = np.zeros((h, w, 3), np.float32)
    if trunk:
        foot, tip = rng.uniform(0.022, 0.035) * h / w, 0.012 * h / w
        x = trunk_x / w
        cover = polygon((h, w), [(x - foot, 1), (x + foot, 1), (x + tip, 0.4), (x - tip, 0.4)])
        bark = np.array([92, 78, 64]) * rng.uniform(0.6, 1.0) * (1 + 0.16 * value_noise(rng, h, w, 16, 3)[..., None])
        image += bark * cover[..., None]
    leaf = np.array([rng.uniform(50, 96), rng.uniform(76, 104), rng.uniform(30, 48)])
    clusters = 260
    angle, radius = rng.uniform(0, 2 * np.pi, clusters), np.sqrt(rng.random(clusters))
    bottom = rng.uniform(0.62, 0.74)
    cx = w * (0.5 + 0.41 * radius * np.cos(angle))
    cy = h * (bottom / 2 + 0.02 + bottom * 0.45 * radius * np.sin(angle))
    for k in np.argsort(rng.random(clusters) + 0.6 * (1 - cy / h)):  # the lit top is painted last
        size = int(rng.uniform(0.035, 0.075) * w) + 2
        light = 0.5 + 0.75 * (1 - cy[k] / (bottom * h)) + rng.uniform(-0.22, 0.22)
        yy, xx = np.mgrid[-size : size + 1, -size : size + 1]
        spot = np.exp(-(xx**2 + yy**2) / (size * 0.55) ** 2) * rng.uniform(0.3, 1.4, xx.shape)
        spot = np.clip((spot - 0.25) * 2.5, 0, 1).astype(np.float32)
        x0, y0 = round(cx[k]) - size, round(cy[k]) - size
        xa, ya, xb, yb = max(x0, 0), max(y0, 0), min(x0 + 2 * size + 1, w), min(y0 + 2 * size + 1, h)
        part = spot[ya - y0 : yb - y0, xa - x0 : xb - x0]
        shade = leaf * light * (1 + 0.25 * rng.standard_normal((*part.shape, 1)))
        blend(image[ya:yb, xa:xb], shade, part)
        cover[ya:yb, xa:xb] = 1 - (1 - cover[ya:yb, xa:xb]) * (1 - part)
    return solid(image, cover)


def hedge(rng: Generator, width_m: float, height_m: float, px_per_m: float = 24.0) -> Array:
    """A clipped hedge: leaves all over, a ragged top."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    leaf = np.array([rng.uniform(50, 90), rng.uniform(84, 110), rng.uniform(34, 54)])
    tone = 1 + 0.3 * value_noise(rng, h, w, 2) + 0.2 * value_noise(rng, h, w, 8)
    image = leaf * np.clip(tone, 0.3, 1.9)[..., None] * np.linspace(1.25, 0.6, h)[:, None, None]
    edge = 3 + 2.5 * value_noise(rng, 1, w, 5)[0] * 0.6
    cover = np.clip(np.arange(h)[:, None] - edge + 0.5, 0, 1).astype(np.float32)
    return solid(image.astype(np.float32), cover)


def forest(rng: Generator, width_m: float, height_m: float, px_per_m: float = 6.0) -> Array:
    """A distant row of trees with a wavy upper edge."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    leaf = np.array([rng.uniform(46, 70), rng.uniform(68, 86), rng.uniform(34, 48)])
    tone = 1 + 0.3 * fractal_noise(rng, h, w, 22, 4, 0.8)
    image = leaf * np.clip(tone, 0.35, 1.8)[..., None] * np.linspace(1.2, 0.7, h)[:, None, None]
    edge = h * 0.3 * (1 + 0.55 * value_noise(rng, 1, w, 26)[0] + 0.12 * value_noise(rng, 1, w, 6)[0])
    cover = np.clip((np.arange(h)[:, None] - edge) / 3 + 0.5, 0, 1).astype(np.float32)
    return solid(image.astype(np.float32), cover)


def fence(rng: Generator, width_m: float, height_m: float, px_per_m: float = 24.0) -> Array:
    """Pickets or boards."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    hue = rng.choice(np.array([[206, 204, 198], [120, 88, 62], [84, 92, 88]]))
    xs = np.arange(w) / px_per_m
    picket = (np.mod(xs, 0.2) < 0.13).astype(np.float32)
    cover = np.repeat(picket[None], h, axis=0)
    for y in (0.25, 0.75):
        cover[round(y * h) : round(y * h) + 3] = 1
    image = np.empty((h, w, 3), np.float32)
    image[:] = hue
    image += (value_noise(rng, h, w, 12, 3) * 9)[..., None]
    return solid(image, cover)


def lamp_post(rng: Generator, width_m: float, height_m: float, px_per_m: float = 24.0) -> Array:
    """A pole in the middle with an arm and a lamp towards the left edge."""
    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    cover = polygon((h, w), [(0.5 - 1.6 / w, 1), (0.5 + 1.6 / w, 1), (0.5 + 1.1 / w, 0.05), (0.5 - 1.1 / w, 0.05)])
    cover = np.maximum(cover, polygon((h, w), [(0.1, 0.02), (0.5, 0.045), (0.5, 0.045 + 3 / h), (0.1, 0.02 + 3 / h)]))
    cover = np.maximum(cover, polygon((h, w), [(0.0, 0.012), (0.16, 0.012), (0.2, 0.035), (0.0, 0.035)]))
    image = np.empty((h, w, 3), np.float32)
    image[:] = rng.uniform(70, 120)
    return solid(image, cover)


def delineator() -> Array:
    """The white post with a black band at the edge of a country road."""
    image = np.full((50, 8, 3), 232.0, np.float32)
    image[6:16] = 30
    image[8:13, 3:5] = (230, 120, 40)
    return solid(image)


def traffic_sign(rng: Generator, px: int = 48) -> Array:
    """A round, triangular or square sign face."""
    kind = int(rng.integers(4))
    image = np.zeros((px, px, 3), np.float32)
    circle = [(0.5 + 0.49 * np.cos(a), 0.5 + 0.49 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 40)]
    inner = [(0.5 + 0.36 * np.cos(a), 0.5 + 0.36 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 40)]
    if kind == 0:
        cover = polygon((px, px), circle)
        image[:] = (196, 24, 30)
        blend(image, (236, 236, 236), polygon((px, px), inner))
        blend(image, (20, 20, 24), polygon((px, px), [(0.32, 0.35), (0.44, 0.35), (0.44, 0.66), (0.32, 0.66)]))
        blend(image, (20, 20, 24), polygon((px, px), [(0.54, 0.35), (0.68, 0.35), (0.68, 0.66), (0.54, 0.66)]))
    elif kind == 1:
        cover = polygon((px, px), [(0.5, 0.04), (0.98, 0.9), (0.02, 0.9)])
        image[:] = (200, 26, 30)
        blend(image, (238, 236, 230), polygon((px, px), [(0.5, 0.24), (0.8, 0.8), (0.2, 0.8)]))
        blend(image, (20, 20, 20), polygon((px, px), [(0.46, 0.42), (0.54, 0.42), (0.54, 0.72), (0.46, 0.72)]))
    elif kind == 2:
        cover = polygon((px, px), circle)
        image[:] = (24, 70, 168)
        blend(image, (236, 236, 236), polygon((px, px), [(0.45, 0.3), (0.55, 0.3), (0.55, 0.75), (0.45, 0.75)]))
    else:
        cover = polygon((px, px), [(0.04, 0.04), (0.96, 0.04), (0.96, 0.96), (0.04, 0.96)])
        image[:] = (24, 78, 170)
        blend(image, (240, 240, 240), polygon((px, px), [(0.5, 0.16), (0.84, 0.8), (0.16, 0.8)]))
    return solid(image, cover)


def paint_limb(image: Array, cover: Array, x0: float, y0: float, x1: float, y1: float, r0: float, r1: float, color: ArrayLike) -> None:
    """From (x0, y0), r0 to either side, to (x1, y1), r1 to either side; all in 0..1 of the picture."""
    shape = polygon((cover.shape[0], cover.shape[1]), [(x0 - r0, y0), (x0 + r0, y0), (x1 + r1, y1), (x1 - r1, y1)])
    blend(image, color, shape)
    np.maximum(cover, shape, out=cover)


def pedestrian(rng: Generator, phases: int = 8, px_per_m: float = 64.0) -> list[Array]:
    """One walker, 1.0 m wide and 1.8 m high, seen from the front or the back, in ``phases`` steps of the gait."""
    h, w = round(1.8 * px_per_m), round(1.0 * px_per_m)
    coat, trousers = rng.uniform(30, 150) + rng.normal(0, 26, 3), rng.uniform(28, 90) + rng.normal(0, 10, 3)
    skin, hair = np.array([206, 160, 132]) * rng.uniform(0.5, 1.05), np.array([70, 52, 40]) * rng.uniform(0.3, 2.0)
    texture = value_noise(rng, h, w, 5) * 5
    frames = []
    for phase in range(phases):
        swing = np.sin(2 * np.pi * phase / phases)
        image, cover = np.zeros((h, w, 3), np.float32), np.zeros((h, w), np.float32)

        limb = partial(paint_limb, image, cover)
        for side in (-1, 1):
            lift = 0.06 * max(0.0, side * swing)
            foot = 0.5 + side * 0.075 + 0.05 * swing
            limb(0.5 + side * 0.07, 0.5, foot, 0.97 - lift, 0.085, 0.05, trousers * (1 - 0.15 * side * swing))
            limb(foot, 0.95 - lift, foot + 0.01, 0.995 - lift, 0.06, 0.075, np.array([35.0, 30, 28]))
            hand = 0.5 + side * (0.21 - 0.03 * swing * side)
            limb(0.5 + side * 0.16, 0.2, hand, 0.52 - 0.03 * swing * side, 0.05, 0.035, coat * 0.8)
        limb(0.5, 0.17, 0.5, 0.56, 0.185, 0.15, coat)
        limb(0.5, 0.12, 0.5, 0.19, 0.05, 0.06, skin)
        ring = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24)]
        for color, dy in ((hair, -0.01), (skin, 0.015)):
            head = polygon((h, w), [(0.5 + 0.085 * c, 0.085 + dy + 0.062 * s) for c, s in ring])
            blend(image, color, head)
            np.maximum(cover, head, out=cover)
        frames.append(solid(image + texture[..., None], cover))
    return frames


def soft_shadow(height: int = 24, width: int = 48) -> Array:
    """A black blot with a soft edge, to be laid on the ground below things."""
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    cover = np.clip(1.6 * (1 - np.maximum(np.abs(ys), np.abs(xs)) ** 3), 0, 1) * np.clip(4 * (1 - xs**2), 0, 1)
    return solid(np.zeros((height, width, 3), np.float32), (0.72 * cover * np.clip(4 * (1 - ys**2), 0, 1)).astype(np.float32))


def sky_panorama(rng: Generator, zenith: Array, horizon: Array, cloudiness: float) -> Array:
    """512x2048x3: 360 degrees around (repeats) and 0 (bottom row) to 60 degrees (top row) up."""
    h, w = 512, 2048
    up = np.linspace(1, 0, h, dtype=np.float32)[:, None, None] ** 0.6
    image = (horizon * (1 - up) + zenith * up) * np.ones((1, w, 1), np.float32)
    clouds = fractal_noise(rng, h, w, 160, 6, 0.55)
    thick = np.clip((clouds - 1.6 + 2.6 * cloudiness) * 0.75, 0, 1) * np.clip(up[..., 0] * 3, 0, 1)
    lit = 235 + 14 * fractal_noise(rng, h, w, 90, 5, 0.6) - 45 * cloudiness * np.clip(thick, 0, 1)
    blend(image, lit[..., None] * np.array([1.0, 1.0, 1.01], np.float32), thick * 0.85)
    return np.clip(image, 0, 252).astype(np.float32)
