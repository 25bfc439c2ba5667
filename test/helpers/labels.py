"""Drives whose colours are their labels, and segmenters and structure generators that need no weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.forecast import Forecast, Horizon
from vidpred_ros.predictors.label_baselines import MovedLabels
from vidpred_ros.preprocess import crop_and_resize_labels
from vidpred_ros.semantics import CAR, CLASS_NAMES, PALETTE, PERSON, ROAD, SKY, VEGETATION
from vidpred_ros.window import Window

SIZE = (64, 128)  # of the segmenter; label maps are half of it
LABEL_SIZE = (32, 64)


def label_scene(i: int, speed: int = 4) -> NDArray[np.uint8]:
    """Label map i (HxW train ids) of a street that slides to the left, with a car and a person in it."""
    labels = np.full((SIZE[0], 512), ROAD, np.uint8)
    labels[:20] = SKY
    labels[20:36, ::2] = labels[20:36, 1::2] = VEGETATION
    labels[30:48, 90:120] = CAR
    labels[26:50, 200:206] = PERSON
    labels[20:36, 300:330] = 2
    return labels[:, speed * i : speed * i + SIZE[1]]


def paint(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (RGB) in the labels' colours, with a texture that moves with them too weak to change a class."""
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 12, (16, 128, 3), np.uint8), (512, SIZE[0]), interpolation=cv2.INTER_LINEAR)
    return np.minimum(PALETTE[labels], 240) + noise[:, : labels.shape[1]]


def write_label_drive(
    folder: Path, frames: int = 14, labelled: Sequence[int] | None = None, fps: float = 10, pseudo: bool = False
) -> Path:
    """A sequence folder of ``label_scene``; ``labelled``: the frames with a label map, None: all, (): none."""
    (folder / "frames").mkdir(parents=True)
    where = folder / ("labels_pseudo" if pseudo else "labels")
    where.mkdir()
    for i in range(frames):
        labels = label_scene(i)
        cv2.imwrite(str(folder / "frames" / f"{i:03d}.png"), cv2.cvtColor(paint(labels), cv2.COLOR_RGB2BGR))
        if labelled is None or i in labelled:
            cv2.imwrite(str(where / f"{i:03d}.png"), labels)
    classes = {"ignore": 255, "classes": {str(i): name for i, name in enumerate(CLASS_NAMES)}}
    (folder / "meta.json").write_text(json.dumps({"fps": fps, "label_classes": classes}))
    return folder


class ColourSegmenter:
    """Reads the class off the colour, and gets every ``wrong``-th column wrong (0: none)."""

    name, size, engine = "colours", SIZE, "none"

    def __init__(self, wrong: int = 0) -> None:
        self.wrong, self.count = wrong, 0

    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.count += 1
        distance = np.abs(frame[:, :, None].astype(int) - np.minimum(PALETTE, 240) - 6).sum(-1)
        labels = distance.argmin(-1).astype(np.uint8)
        if self.wrong:
            labels[:, :: self.wrong] = ROAD
        return labels

    def close(self) -> None:
        pass


class Guesser:
    """A structure generator that moves labels by the flow and draws futures: one of them is ``truth`` where it is given."""

    model_id, engine, weights_sha256 = "guesser", "none", "0" * 64
    size, label_size, window_length, needs_frames = SIZE, LABEL_SIZE, 4, True

    def __init__(self, steps: int = 3, period_s: float = 0.1, samples: int = 4, truth: bool = False) -> None:
        self.period_s, self.steps, self.samples, self._truth = period_s, steps, samples, truth
        self._moved = MovedLabels(None, SIZE, period_s, steps, 4, LABEL_SIZE)
        self.seen: list[tuple[NDArray[np.uint8], ...]] = []

    def predict(self, window: Window, labels: Sequence[NDArray[np.uint8]] | None = None) -> Forecast:
        assert labels is not None
        self.seen.append(tuple(labels))
        moved = self._moved.predict(window, labels)
        horizons = tuple(
            Horizon(h.step, h.stamp_ns, labels=h.labels, entropy=np.full(LABEL_SIZE, 0.1 * h.step, np.float32))
            for h in moved.horizons
        )
        drawn = np.stack([h.labels for h in horizons])[None].repeat(self.samples, 0)
        for i in range(self.samples):
            drawn[i, :, :, : 8 * i] = ROAD
        if self._truth:
            newest = round(window.stamps_ns[-1] / 1e9 / self.period_s)
            future = [crop_and_resize_labels(label_scene(newest + k), LABEL_SIZE) for k in range(1, self.steps + 1)]
            drawn[-1] = np.stack(future)
        return Forecast(self.model_id, moved.source_stamp_ns, moved.period_ns, horizons, samples=drawn)

    def close(self) -> None:
        pass
