"""What the networks of label maps are trained on: labelled frames, and clips of label maps with their flow.

An item is a function of (seed, index) alone, and every frame or window is drawn once before any is drawn again where all
weights are equal, as in clips.py. Label maps are resized by nearest neighbour only.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.datasets.bank import Bank
from training.datasets.clips import NO_FIRST_FLOW, channels_first, deal, in_other_light, random_crop, resized
from training.datasets.foretold import Foretold
from training.datasets.labels import LabelledSequence
from training.recipe import Data
from vidpred_ros.errors import SourceError
from vidpred_ros.motion import DisFlow, gray, guessed_labels
from vidpred_ros.networks.config import WINDOW


class LabelledFrames(Dataset[dict[str, Tensor]]):
    """``length`` random frames: image (3, H, W) float32 in [0, 1] and labels (H, W) uint8 train ids, at ``data.size``.

    The same random crop (``data.crop``) and flip for both, and other light for the image. Raises SourceError for a
    sequence without frames, and when no frame has a label map.
    """

    def __init__(self, sequences: Many[LabelledSequence], data: Data, seed: int, length: int) -> None:
        check_frames(sequences, "the network learns from frames")
        self.data, self.seed, self.length = data, seed, length
        runs = [run for sequence in sequences for run in sequence.runs()]
        self.choices, self.deck = deal(runs, data, 1, seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, index, 0))
        chosen, start = self.deck.draw(index, rng.random())
        run, _ = self.choices[chosen]
        frames, labels = run.sequence.frames, run.sequence.labels[run.first + start]
        assert frames is not None
        image = frames[run.first + start]
        rows, columns = random_crop(labels.shape[0], labels.shape[1], self.data, rng)
        images = in_other_light(resized(image[None, rows, columns], self.data.size), self.data.photometric, rng)
        flip = rng.random() < self.data.flip
        return {
            "image": torch.from_numpy(channels_first(images, flip)[0].astype(np.float32) / 255),
            "labels": torch.from_numpy(mirrored(resized_labels(labels[None, rows, columns], self.data.size), flip)[0]),
        }


class LabelClips(Dataset[dict[str, Tensor]]):
    """``length`` random clips of T = ``context`` label maps and the K = ``futures`` that follow.

    labels (T + K, H, W) uint8 train ids; with ``frames`` also frames (T + K, 3, H, W) float32 in [0, 1]; with ``flows``
    also flows (T, 2, H, W) float32, the backward flow of each context frame in pixels, and (K > 0) moved (T - 1 + K, H, W)
    uint8, ``guessed_labels`` of both. Frames, label maps and flows have the same crop and flip. In a share of NO_FIRST_FLOW of the
    clips the oldest frame has no flow (0), as in the first window after a start.

    With a ``motion_model``, a released frame predictor, the last map is moved by what it foretells of the 8 frames up to the
    last of the context, all of which then have flow. With ``instances`` also instances (T + K, H, W) uint8, cropped and flipped
    with the rest; 0 where none is known.

    With flows or frames ``data.bank`` clips are made once and kept. Raises SourceError when no sequence is long enough,
    and for one without frames where they are needed; ConfigError and ModelError for a motion model that does not fit.
    """

    def __init__(
        self,
        sequences: Many[LabelledSequence],
        data: Data,
        context: int,
        futures: int,
        flows: bool,
        frames: bool,
        seed: int,
        length: int,
        motion_model: str | None = None,
        instances: bool = False,
    ) -> None:
        if flows or frames:
            check_frames(sequences, "optical flow needs them" if flows else "the network learns from them")
        self.data, self.context, self.futures, self.flows, self.frames = data, context, futures, flows, frames
        self.seed, self.length = seed, length
        self.motion_model, self.instances = motion_model, instances
        window = WINDOW if motion_model else context  # frames up to the last of the context that are looked at
        self.before = window - context + flows  # the oldest frame's flow needs the frame before it
        if motion_model is not None:
            Foretold(motion_model, futures)  # says now what is wrong with it
        self.span = self.before + context + futures
        self.choices, self.deck = deal([run for s in sequences for run in s.runs()], data, self.span, seed)
        settings = data.model_dump_json(include={"size", "rates", "crop", "weights"})
        drawn_from = [(s.name, s.key, s.rate_hz, len(s), s.labelled.tobytes()) for s in sequences]
        self._bank = Bank(("labels", settings, drawn_from, context, futures, flows, frames, motion_model, instances, seed))
        self._dis: DisFlow | None = None  # made in each worker: OpenCV objects do not pickle
        self._foretold: Foretold | None = None  # too: one thread is enough for it

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        bank = self.data.bank if self.flows or self.frames else None  # label maps alone cost next to nothing
        clip = self._bank.fetch(index % bank, lambda: self._clip(index % bank)) if bank else self._clip(index)
        rng = np.random.default_rng((self.seed, index, 1))
        flip = rng.random() < self.data.flip
        labels = mirrored(clip["labels"], flip)
        item = {"labels": torch.from_numpy(labels)}
        if self.instances:
            item["instances"] = torch.from_numpy(mirrored(clip["instances"], flip))
        if self.frames:
            frames = in_other_light(clip["frames"], self.data.photometric, rng)
            item["frames"] = torch.from_numpy(channels_first(frames, flip).astype(np.float32) / 255)
        if self.flows:
            flows = mirrored_flow(clip["flows"], flip)
            motions = mirrored_flow(clip["motions"], flip) if self.motion_model else None
            if not self.motion_model and rng.random() < NO_FIRST_FLOW:
                flows[0] = 0
            item["flows"] = torch.from_numpy(channels_first(flows, False))
            if self.futures:
                guesses = guessed_labels(labels[: self.context], flows, self.futures, motions)
                item["moved"] = torch.from_numpy(guesses)
        return item

    def _clip(self, index: int) -> dict[str, NDArray]:
        """Of the window that is drawn: label maps (T + K, H, W), frames (T + K, H, W, 3), and as float16 flows (T, H, W, 2)
        and foretold motions (K, H, W, 2)."""
        rng = np.random.default_rng((self.seed, index, 0))
        chosen, start = self.deck.draw(index, rng.random())
        run, stride = self.choices[chosen]
        first = run.first + start
        labels = run.sequence.labels[first : first + stride * self.span : stride]
        rows, columns = random_crop(labels.shape[1], labels.shape[2], self.data, rng)
        clip: dict[str, NDArray] = {"labels": resized_labels(labels[self.before :, rows, columns], self.data.size)}
        if self.instances:
            clip["instances"] = np.zeros_like(clip["labels"])
            if run.sequence.instances is not None:
                things = run.sequence.instances[first : first + stride * self.span : stride]
                clip["instances"] = resized_labels(things[self.before :, rows, columns], self.data.size)
        if not (self.flows or self.frames):
            return clip
        wanted = self.span if self.frames else self.before + self.context
        frames = run.sequence.frames
        assert frames is not None
        images = resized(frames[first : first + stride * wanted : stride][:, rows, columns], self.data.size)
        if self.frames:
            clip["frames"] = images[self.before :]
        if self.flows:
            self._dis = self._dis or DisFlow()
            seen = self.before + self.context
            grays = [gray(image) for image in images[:seen]]
            flows = np.stack([self._dis(now, before) for before, now in pairwise(grays)])
            clip["flows"] = flows[-self.context :].astype(np.float16)
            if self.motion_model:
                self._foretold = self._foretold or Foretold(self.motion_model, self.futures)
                clip["motions"] = self._foretold(images[seen - WINDOW : seen], flows).astype(np.float16)
        return clip


def check_frames(sequences: Many[LabelledSequence], why: str) -> None:
    """Raises SourceError for a sequence that has label maps only."""
    for sequence in sequences:
        if sequence.frames is None:
            raise SourceError(f"{sequence.name} has label maps but no frames, and {why}: take it out of the recipe's data")


def resized_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """T x H x W label maps at ``size`` = (height, width), by nearest neighbour."""
    return np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_NEAREST) for one in labels])


def mirrored(maps: NDArray, flip: bool) -> NDArray:
    """T x H x W ... maps, mirrored left to right on request; the result may be written to."""
    return np.ascontiguousarray(maps[:, :, ::-1]) if flip else maps.copy()


def mirrored_flow(flows: NDArray[np.float16], flip: bool) -> NDArray[np.float32]:
    """T x H x W x 2 fields as float32, mirrored left to right on request: what went left then goes right."""
    fields = mirrored(flows, flip).astype(np.float32)
    if flip:
        fields[..., 0] *= -1
    return fields
