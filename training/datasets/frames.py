"""Sequences of frames, decoded once into one memory-mapped file each, so that a training step never waits for a decoder."""

from __future__ import annotations

import hashlib
import os
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from training.datasets import kitti_raw
from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.sources import open_source

#: Frames are cached at this height at most: random crops are taken from them.
CACHE_HEIGHT = 256


@dataclass(frozen=True)
class Sequence:
    """N frames at a rate; ``frames`` is a read-only memory map N x H x W x 3 uint8 RGB."""

    name: str  # SOURCE, or the camera folder of a KITTI drive
    rate_hz: float
    frames: NDArray[np.uint8]
    key: str = ""  # hash of the data and of how they were decoded


def cache_folder() -> Path:
    """Where decoded frames are kept; VIDPRED_CACHE moves it."""
    return Path(os.environ.get("VIDPRED_CACHE", Path.home() / ".cache" / "vidpred_ros")) / "frames"


def expand(text: str) -> str:
    """Fill in $NAME from the environment. Raises ConfigError for a name that is not set."""
    try:
        return string.Template(text).substitute(os.environ)
    except KeyError as error:
        raise ConfigError(f"{text}: set the environment variable {error} to the folder of the data") from None
    except ValueError:
        raise ConfigError(f"{text}: a $ stands before a variable's name; write $$ for the sign itself") from None


def open_sequences(text: str, size: tuple[int, int], split: str, random_crops: bool) -> Iterator[Sequence]:
    """The sequences of a SOURCE or of "kitti_raw:FOLDER", cached on first use.

    Without random crops the cache holds the frames as the network sees them: the centre crop, resized to ``size``.
    """
    text = expand(text)
    fit = None if random_crops else size
    if text.startswith("kitti_raw:"):
        for folder in kitti_raw.drives(Path(text.partition(":")[2]), split):
            yield _cached(str(folder), fit, kitti_raw.RATE_HZ)
    else:
        yield _cached(text, fit, None)


def _cached(text: str, fit: tuple[int, int] | None, rate_hz: float | None) -> Sequence:
    source = open_source(text)
    key = hashlib.sha256(f"{source.fingerprint()} {fit} {CACHE_HEIGHT}".encode()).hexdigest()[:24]
    path = cache_folder() / f"{key}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = track(source, description=f"decoding {Path(text).name or text}", total=len(source), transient=True)
        images = [_shrink(frame.image, fit) for frame in frames]
        if len({image.shape for image in images}) != 1:
            raise SourceError(f"{text}: no frame can be decoded, or the frames differ in size")
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as handle:
            np.save(handle, np.stack(images))
        part.replace(path)  # whole or not at all, also when two processes race
    try:
        return Sequence(text, rate_hz or source.rate_hz, np.load(path, mmap_mode="r"), key)
    except (ValueError, EOFError) as error:
        raise SourceError(f"{path}: the cached frames of {text} are damaged ({error}); delete the file") from None


def _shrink(image: NDArray[np.uint8], fit: tuple[int, int] | None) -> NDArray[np.uint8]:
    if fit is not None:
        return crop_and_resize(image, fit)
    height, width = image.shape[:2]
    if height <= CACHE_HEIGHT:
        return image
    return crop_and_resize(image, (CACHE_HEIGHT, round(width * CACHE_HEIGHT / height)))
