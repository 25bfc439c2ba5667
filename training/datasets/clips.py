"""Training clips: 8 frames of a window, their backward flows, and the K frames that follow.

A clip is a function of (seed, index) alone, so a run that is resumed sees what an uninterrupted one would have seen.
Every window of the data is drawn once before any is drawn again, where all weights are equal.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence as Many
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.datasets.frames import Sequence, cache_folder
from training.recipe import Data
from vidpred_ros.errors import SourceError
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.preprocess import crop_window

#: In this share of the clips the oldest frame has no flow, as in the first window after a start.
NO_FIRST_FLOW = 0.2
#: Places that are tried for a patch that moves enough.
PATCH_TRIES = 25


def strides_within(rate_hz: float, rates: tuple[float, float]) -> list[int]:
    """Strides that bring a camera's rate into [low, high] Hz; the nearest one when none does."""
    low, high = rates
    fits = [n for n in range(1, 61) if low * 0.99 <= rate_hz / n <= high * 1.01]
    return fits or [max(1, round(rate_hz / ((low + high) / 2)))]


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


class ClipDataset(Dataset[dict[str, Tensor]]):
    """``len`` random clips: frames (8 + K, 3, H, W) float32 in [0, 1] and flows (8, 2, H, W) in pixels.

    Raises SourceError when no sequence is long enough for one clip.
    """

    def __init__(self, sequences: Many[Sequence], data: Data, futures: int, flows: bool, seed: int, length: int) -> None:
        self.data, self.futures, self.flows, self.seed, self.length = data, futures, flows, seed, length
        self.span = WINDOW + 1 + futures  # one frame more: the oldest frame's flow needs the one before it
        self.choices: list[tuple[Sequence, int]] = []
        counts: list[int] = []
        weights: list[float] = []
        for sequence in sequences:
            strides = strides_within(sequence.rate_hz, data.rates)
            fitting = [n for n in strides if len(sequence.frames) > n * (self.span - 1)]
            weight = next((w for pattern, w in data.weights.items() if pattern in sequence.name), 1.0)
            for stride in fitting:
                self.choices.append((sequence, stride))
                counts.append(len(sequence.frames) - stride * (self.span - 1))
                weights.append(weight / len(fitting))
        if not any(weights):
            raise SourceError(f"no training sequence holds {self.span} frames at {data.rates} Hz, or all have weight 0")
        self.deck = Deck(counts, weights, seed)
        settings = data.model_dump_json(
            exclude={"train", "flip", "photometric", "patch", "patch_motion", "workers", "validate_on"}
        )
        drawn_from = [(s.name, s.key, s.rate_hz, s.frames.shape) for s in sequences]
        recipe = ("deck", settings, drawn_from, futures, flows, seed)
        self._bank = cache_folder() / "clips" / hashlib.sha256(repr(recipe).encode()).hexdigest()[:24]
        self._dis: DisFlow | None = None  # made in each worker: OpenCV objects do not pickle

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        frames, flows = self._banked(index % self.data.bank) if self.data.bank else self._clip(index)
        rng = np.random.default_rng((self.seed, index, 1))
        if self.data.patch is not None:
            top, left = self._patch_place(frames, np.random.default_rng((self.seed, index, 2)))
            part = (slice(None), slice(top, top + self.data.patch), slice(left, left + self.data.patch))
            frames, flows = np.ascontiguousarray(frames[part]), flows[part] if self.flows else flows
        light = self._light(rng)
        if light is not None:
            frames = cv2.LUT(frames.reshape(-1, 1, 3), light).reshape(frames.shape)
        flip = rng.random() < self.data.flip
        item = {"frames": torch.from_numpy(_channels_first(frames, flip).astype(np.float32) / 255)}
        if self.flows:
            fields = _channels_first(flows, flip).astype(np.float32)
            if flip:
                fields[:, 0] *= -1
            if rng.random() < NO_FIRST_FLOW:
                fields[0] = 0
            item["flows"] = torch.from_numpy(fields)
        return item

    def _banked(self, slot: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Clip number ``slot`` from the bank on disk; made when it is not there yet, or not whole."""
        path = self._bank / f"{slot}.npz"
        try:
            with np.load(path) as stored:
                return stored["frames"], stored["flows"]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            frames, flows = self._clip(slot)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as handle:
            np.savez(handle, frames=frames, flows=flows)
        part.replace(path)
        return frames, flows

    def _clip(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """(8 + K, H, W, 3) frames of the window that is drawn, and its (8, H, W, 2) flows."""
        rng = np.random.default_rng((self.seed, index, 0))
        chosen, start = self.deck.draw(index, rng.random())
        sequence, stride = self.choices[chosen]
        clip = self._crop(sequence.frames[start : start + stride * self.span : stride], rng)
        if not self.flows:
            return clip[1:], np.zeros(0, np.float16)
        self._dis = self._dis or DisFlow()
        grays = [gray(frame) for frame in clip[: WINDOW + 1]]
        flows = [self._dis(now, before) for before, now in pairwise(grays)]
        return clip[1:], np.stack(flows).astype(np.float16)

    def _crop(self, clip: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The same random crop of every frame, resized to ``data.size``: T x H x W x 3 uint8."""
        data = self.data
        top, left, height, width = crop_window(clip.shape[1], clip.shape[2], data.size)
        if data.crop != (1.0, 1.0):
            share = rng.uniform(*data.crop)
            height, width = round(height * share), round(width * share)
            top, left = (int(rng.integers(0, room + 1)) for room in (clip.shape[1] - height, clip.shape[2] - width))
        mode = cv2.INTER_AREA if height >= data.size[0] else cv2.INTER_CUBIC
        return np.stack(
            [
                cv2.resize(frame, data.size[::-1], interpolation=mode)
                for frame in clip[:, top : top + height, left : left + width]
            ]
        )

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

    def _light(self, rng: np.random.Generator) -> NDArray[np.uint8] | None:
        strength = self.data.photometric
        if strength == 0:
            return None
        gain, lift, gamma = rng.uniform(-strength, strength, 3)
        curve = (np.arange(256) / 255) ** np.exp(gamma)
        curve = 0.5 + (curve - 0.5) * (1 + gain) + lift / 2
        return np.asarray(np.clip(np.rint(curve * 255), 0, 255), np.uint8)


def _channels_first(images: NDArray, flip: bool) -> NDArray:
    """T x H x W x C to T x C x H x W, mirrored left to right on request."""
    return np.ascontiguousarray((images[:, :, ::-1] if flip else images).transpose(0, 3, 1, 2))
