"""Training clips: 8 frames of a window, their backward flows, and the K frames that follow.

A clip is a function of (seed, index) alone, so a run that is resumed sees what an uninterrupted one would have seen.
Every window of the data is drawn once before any is drawn again, where all weights are equal.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from itertools import pairwise
from typing import Protocol, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.datasets.bank import Bank
from training.datasets.frames import Sequence
from training.recipe import Data
from vidpred_ros.errors import SourceError
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.preprocess import crop_window
from vidpred_ros.window import stride_for

#: In this share of the clips the oldest frame has no flow, as in the first window after a start.
NO_FIRST_FLOW = 0.2
#: Places that are tried for a patch that moves enough.
PATCH_TRIES = 25


def strides_within(rate_hz: float, data: Data) -> list[int]:
    """Strides that bring a camera's rate into ``data.rates``; where none does that of evaluation, nearest to ``data.period``."""
    low, high = data.rates
    fits = [n for n in range(1, 61) if low * 0.99 <= rate_hz / n <= high * 1.01]
    return fits or [stride_for(rate_hz, data.period)]


class Timed(Protocol):
    """What clips are drawn from: a number of frames at a rate."""

    @property
    def name(self) -> str: ...
    @property
    def rate_hz(self) -> float: ...
    def __len__(self) -> int: ...


T = TypeVar("T", bound=Timed)


class Deck:
    """Draws of one of many windows, as of a shuffled deck of cards that is shuffled anew when it is used up.

    ``counts`` are the windows of each sequence (at one stride) and ``weights`` the chance of each of its windows, relative
    to others. With equal weights a deck holds every window once; else in proportion to its weight, to within one draw.
    """

    def __init__(self, counts: Many[int], weights: Many[float], seed: int) -> None:
        shares = np.array(counts, float) * np.array(weights, float)
        self._ends = np.cumsum(shares)  # sequence i owns what lies before ends[i], its windows weights[i] each
        self._counts, self.weights, self._seed = counts, weights, seed
        self.size = int(sum(count for count, weight in zip(counts, weights, strict=True) if weight))
        self._shuffled: tuple[int, NDArray[np.int64]] | None = None

    def draw(self, index: int, within: float) -> tuple[int, int]:
        """(sequence, window) of draw number ``index``; ``within`` in [0, 1) is random, to reach windows of small weight."""
        round_number, card = divmod(index, self.size)
        if self._shuffled is None or self._shuffled[0] != round_number:
            order = np.random.default_rng((self._seed, round_number, 3)).permutation(self.size)
            self._shuffled = round_number, order
        # a place in the card's slot, which with equal weights is one window's
        place = (self._shuffled[1][card] + within) / self.size * self._ends[-1]
        chosen = min(int(np.searchsorted(self._ends, place, side="right")), len(self._ends) - 1)
        start = self._ends[chosen - 1] if chosen else 0.0
        return chosen, min(int((place - start) / self.weights[chosen]), self._counts[chosen] - 1)


def deal(sequences: Many[T], data: Data, span: int, seed: int) -> tuple[list[tuple[T, int]], Deck]:
    """Every (sequence, stride) that holds clips of ``span`` frames, and the deck of their windows.

    Raises SourceError when no sequence is long enough for one clip.
    """
    choices: list[tuple[T, int]] = []
    counts: list[int] = []
    weights: list[float] = []
    for sequence in sequences:
        strides = strides_within(sequence.rate_hz, data) if span > 1 else [1]
        fitting = [n for n in strides if len(sequence) > n * (span - 1)]
        weight = next((w for pattern, w in data.weights.items() if pattern in sequence.name), 1.0)
        for stride in fitting:
            choices.append((sequence, stride))
            counts.append(len(sequence) - stride * (span - 1))
            weights.append(weight / len(fitting))
    if not any(weights):
        raise SourceError(f"no training sequence holds {span} frames at {data.rates} Hz without a gap, or all have weight 0")
    return choices, Deck(counts, weights, seed)


def random_crop(height: int, width: int, data: Data, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random crop with the aspect of ``data.size``; of the largest, centred one without ``data.crop``."""
    top, left, crop_height, crop_width = crop_window(height, width, data.size)
    if data.crop != (1.0, 1.0):
        share = rng.uniform(*data.crop)
        crop_height, crop_width = round(crop_height * share), round(crop_width * share)
        top, left = (int(rng.integers(0, room + 1)) for room in (height - crop_height, width - crop_width))
    return slice(top, top + crop_height), slice(left, left + crop_width)


def resized(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """T x H x W x 3 frames at ``size`` = (height, width): area to shrink, bicubic to grow."""
    mode = cv2.INTER_AREA if frames.shape[1] >= size[0] else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, size[::-1], interpolation=mode) for frame in frames])


def in_other_light(frames: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Frames of any shape with brightness, contrast and gamma changed at random, by ``strength`` at most."""
    if strength == 0:
        return frames
    gain, lift, gamma = rng.uniform(-strength, strength, 3)
    curve = (np.arange(256) / 255) ** np.exp(gamma)
    curve = 0.5 + (curve - 0.5) * (1 + gain) + lift / 2
    table = np.asarray(np.clip(np.rint(curve * 255), 0, 255), np.uint8)
    return cv2.LUT(frames.reshape(-1, 1, 3), table).reshape(frames.shape)


class ClipDataset(Dataset[dict[str, Tensor]]):
    """``len`` random clips: frames (8 + K, 3, H, W) float32 in [0, 1] and flows (8, 2, H, W) in pixels.

    Shouno 2020, section 4.1, samples sequences of ten frames and gives the network the last 8 of them. With K = 1 a clip is
    drawn from ten too, as we read it: one that the network does not see (the oldest flow looks at it), 8 that it sees, and
    the one that it predicts.

    Raises SourceError when no sequence is long enough for one clip.
    """

    def __init__(self, sequences: Many[Sequence], data: Data, futures: int, flows: bool, seed: int, length: int) -> None:
        self.data, self.futures, self.flows, self.seed, self.length = data, futures, flows, seed, length
        self.span = WINDOW + 1 + futures  # one frame more: the oldest frame's flow needs the one before it
        self.choices, self.deck = deal([part for sequence in sequences for part in sequence.parts()], data, self.span, seed)
        settings = data.model_dump_json(
            exclude={"train", "flip", "photometric", "patch", "patch_motion", "workers", "validate_on"}
        )
        drawn_from = [(s.name, s.key, s.rate_hz, s.frames.shape, s.breaks) for s in sequences]
        self._bank = Bank(("deck", settings, drawn_from, futures, flows, seed))
        self._dis: DisFlow | None = None  # made in each worker: OpenCV objects do not pickle

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        bank = self.data.bank
        clip = self._bank.fetch(index % bank, lambda: self._clip(index % bank)) if bank else self._clip(index)
        frames, flows = clip["frames"], clip["flows"]
        rng = np.random.default_rng((self.seed, index, 1))
        if self.data.patch is not None:
            top, left = self._patch_place(frames, np.random.default_rng((self.seed, index, 2)))
            part = (slice(None), slice(top, top + self.data.patch), slice(left, left + self.data.patch))
            frames, flows = np.ascontiguousarray(frames[part]), flows[part] if self.flows else flows
        frames = in_other_light(frames, self.data.photometric, rng)
        flip = rng.random() < self.data.flip
        item = {"frames": torch.from_numpy(channels_first(frames, flip).astype(np.float32) / 255)}
        if self.flows:
            fields = channels_first(flows, flip).astype(np.float32)
            if flip:
                fields[:, 0] *= -1
            if rng.random() < NO_FIRST_FLOW:
                fields[0] = 0
            item["flows"] = torch.from_numpy(fields)
        return item

    def _clip(self, index: int) -> dict[str, NDArray]:
        """(8 + K, H, W, 3) frames of the window that is drawn, and its (8, H, W, 2) flows as float16."""
        rng = np.random.default_rng((self.seed, index, 0))
        chosen, start = self.deck.draw(index, rng.random())
        sequence, stride = self.choices[chosen]
        clip = sequence.frames[start : start + stride * self.span : stride]
        rows, columns = random_crop(clip.shape[1], clip.shape[2], self.data, rng)
        clip = resized(clip[:, rows, columns], self.data.size)
        if not self.flows:
            return {"frames": clip[1:], "flows": np.zeros(0, np.float16)}
        self._dis = self._dis or DisFlow()
        grays = [gray(frame) for frame in clip[: WINDOW + 1]]
        flows = [self._dis(now, before) for before, now in pairwise(grays)]
        return {"frames": clip[1:], "flows": np.stack(flows).astype(np.float16)}

    def _patch_place(self, frames: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, int]:
        """(top, left) of the first of PATCH_TRIES random squares that moves by ``data.patch_motion``, or of the best one.

        Motion is the mean squared difference between the newest frame and the first that is to be predicted, in the
        scaling [-1, 1], as Mathieu 2016 chooses his patches.
        """
        side = self.data.patch
        assert side is not None
        height, width = frames.shape[1:3]
        tops = rng.integers(0, height - side + 1, PATCH_TRIES)
        lefts = rng.integers(0, width - side + 1, PATCH_TRIES)
        change = (frames[WINDOW].astype(np.float32) - frames[WINDOW - 1]) * (2 / 255)
        sums = cv2.integral(np.square(change).mean(2), sdepth=cv2.CV_64F)
        ends = tops + side, lefts + side
        motion = (sums[ends] - sums[tops, ends[1]] - sums[ends[0], lefts] + sums[tops, lefts]) / side**2
        enough = np.flatnonzero(motion >= self.data.patch_motion)
        best = int(enough[0] if len(enough) else np.argmax(motion))
        return int(tops[best]), int(lefts[best])


def channels_first(images: NDArray, flip: bool) -> NDArray:
    """T x H x W x C to T x C x H x W, mirrored left to right on request."""
    return np.ascontiguousarray((images[:, :, ::-1] if flip else images).transpose(0, 3, 1, 2))
