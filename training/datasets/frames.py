"""Sequences of frames, decoded once into one memory-mapped file each, so that a training step never waits for a decoder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from training.datasets.layouts import find_recordings
from training.datasets.recording import Recording
from vidpred_ros.errors import SourceError
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels

#: Frames are cached at this height at most: random crops are taken from them.
CACHE_HEIGHT = 256
#: So many frames are decoded by this process alone.
FEW = 100
#: Part of the key of cached frames: a change of the format or of the resizing counts it up.
VERSION = 3
#: A step in time of more than this many usual ones is a gap: frames are missing, or a recording was stopped.
GAP = 1.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """Frames in the cache, N x H x W x 3 uint8 RGB, or label maps, N x H x W.

    The file is open only while it is read: a data set may have 40,000.
    """

    path: Path
    shape: tuple[int, ...]
    first: int = 0  # number of the frame in the file that is number 0 here

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """A view of the memory-mapped file."""
        # the file may have room for frames that could not be decoded
        return np.load(self.path, mmap_mode="r")[self.first : self.first + self.shape[0]][index]


@dataclass(frozen=True)
class Sequence:
    """N frames at a rate; ``frames`` is N x H x W x 3 uint8 RGB and is never written to."""

    name: str  # SOURCE, or the file or folder in a data set
    rate_hz: float
    frames: NDArray[np.uint8] | Stored
    key: str = ""  # hash of the data and of how they were decoded
    breaks: tuple[int, ...] = ()  # numbers of the frames before which there is a gap in time

    def __len__(self) -> int:
        return len(self.frames)

    def parts(self) -> list[Sequence]:
        """What lies between the gaps, each part as a sequence without one: no window reaches over a gap."""
        edges = pairwise((0, *self.breaks, len(self)))
        return [replace(self, frames=_between(self.frames, first, end), breaks=()) for first, end in edges]


def _between(frames: NDArray[np.uint8] | Stored, first: int, end: int) -> NDArray[np.uint8] | Stored:
    if isinstance(frames, Stored):
        return replace(frames, shape=(end - first, *frames.shape[1:]), first=frames.first + first)
    return frames[first:end]


@dataclass(frozen=True)
class Meta:
    """What is kept beside the frames in the cache."""

    name: str
    rate_hz: float
    shape: tuple[int, ...]
    bytes: int  # size of the file, to know it whole
    dropped: int  # frames that could not be decoded
    breaks: tuple[int, ...]  # as Sequence has them


def cache_folder() -> Path:
    """Where decoded frames and clips are kept; VIDPRED_CACHE moves it."""
    return Path(os.environ.get("VIDPRED_CACHE", Path.home() / ".cache" / "vidpred_ros"))


def open_sequences(texts: str | Iterable[str], size: tuple[int, int], split: str, random_crops: bool) -> list[Sequence]:
    """The sequences of SOURCEs and data sets (``layouts``), decoded into the cache on first use.

    Without random crops the cache holds the frames as the network sees them: the centre crop, resized to ``size``.
    Raises ConfigError and SourceError as ``find_recordings`` does, and SourceError for what cannot be decoded.
    """
    found = [r for text in ([texts] if isinstance(texts, str) else texts) for r in find_recordings(text, split)]
    return open_recordings(found, None if random_crops else size)


def open_recordings(found: list[Recording], fit: tuple[int, int] | None) -> list[Sequence]:
    """The frames, or label maps, of recordings, decoded into the cache on first use; ``fit`` None: not cropped."""
    places = [_place(recording, fit) for recording in found]
    metas = [_read_meta(path) for path in places]
    if None in metas:
        _decode_missing(dict(zip(places, found, strict=True)), fit)
        metas = [meta or _read_meta(path) for meta, path in zip(metas, places, strict=True)]
    sequences = []
    for recording, path, meta in zip(found, places, metas, strict=True):
        if meta is None:
            raise SourceError(f"{path}: the cached frames of {recording.name} have gone; start again")
        if meta.dropped:
            log.warning("%s: %d frames cannot be decoded and are left out", recording.name, meta.dropped)
        frames = Stored(path, meta.shape)
        if meta.breaks:
            log.warning("%s has gaps in time (%d); no window reaches over them", recording.name, len(meta.breaks))
        sequences.append(Sequence(recording.name, recording.rate_hz or meta.rate_hz, frames, path.stem, meta.breaks))
    return sequences


def _place(recording: Recording, fit: tuple[int, int] | None) -> Path:
    how = f"{recording.fingerprint()} {fit} {CACHE_HEIGHT} {VERSION}"
    return cache_folder() / "sequences" / f"{hashlib.sha256(how.encode()).hexdigest()[:24]}.npy"


def _read_meta(path: Path) -> Meta | None:
    """None when the frames are not in the cache, or not whole: then they are decoded (again)."""
    try:
        values = json.loads(path.with_suffix(".json").read_text())
        meta = Meta(**values | {"shape": tuple(values["shape"]), "breaks": tuple(values["breaks"])})
        return meta if path.stat().st_size == meta.bytes else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one process decodes at a time; the others wait and find the frames. The lock goes with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _decode_missing(found: dict[Path, Recording], fit: tuple[int, int] | None) -> None:
    """Decode what is not in the cache, several recordings at once, under one progress bar."""
    with _locked(cache_folder() / "sequences"):
        for left in (cache_folder() / "sequences").glob("*.part"):
            left.unlink()  # of a process that was killed: nobody else writes here now
        todo = [(recording, path) for path, recording in found.items() if _read_meta(path) is None]
        columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
            if _are_few(todo):
                for recording, path in todo:
                    _decode_one(recording, path, fit, bar)
            else:
                _decode_many(todo, fit, bar)


def _are_few(todo: list[tuple[Recording, Path]]) -> bool:
    """Whether decoding takes less time than starting processes for it."""
    return len(todo) < 2 or (len(todo) < 5 and sum(len(recording.source()) for recording, _ in todo) <= FEW)


def _decode_one(recording: Recording, path: Path, fit: tuple[int, int] | None, bar: Progress) -> None:
    task = bar.add_task(f"frames of {recording.name}", total=len(recording.source()))
    decode(recording, path, fit, lambda: bar.advance(task))


def _decode_many(todo: list[tuple[Recording, Path]], fit: tuple[int, int] | None, bar: Progress) -> None:
    workers = min(len(todo), len(os.sched_getaffinity(0)))
    # spawn: a forked child hangs on a thread pool that OpenCV or torch made in its parent
    context = get_context("spawn")
    counter = context.Value("q", 0)
    task = bar.add_task("recordings", total=len(todo))
    with ProcessPoolExecutor(workers, context, _start_worker, (counter,)) as pool:
        waiting = {pool.submit(_decode_in_worker, recording, path, fit) for recording, path in todo}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                bar.update(task, advance=len(done), description=f"recordings, {counter.value} frames")
        except BrokenProcessPool:
            raise SourceError("a process that decoded frames was killed; is there memory enough?") from None
        finally:
            pool.shutdown(cancel_futures=True)


_counter: Synchronized[int]  # frames that all workers have decoded


def _start_worker(counter: Synchronized[int]) -> None:
    global _counter
    _counter = counter
    cv2.setNumThreads(1)


def _decode_in_worker(recording: Recording, path: Path, fit: tuple[int, int] | None) -> None:
    def count() -> None:
        with _counter.get_lock():
            _counter.value += 1

    decode(recording, path, fit, count)


def decode(recording: Recording, path: Path, fit: tuple[int, int] | None, tick: Callable[[], object]) -> None:
    """Write a recording's frames to ``path`` one after the other, then their Meta beside them; ``tick`` for each frame.

    Raises SourceError when no frame can be decoded, when they differ in size, when the number is not the expected one, and
    when the disk has no room for them.
    """
    source = recording.source()
    room = len(source)
    part = path.with_suffix(f".{os.getpid()}.part")
    stored: NDArray[np.uint8] | None = None
    stamps: list[int] = []
    for frame in islice(source, room):
        image = _shrink(frame.image, fit)
        if stored is None:
            stored = _make_room(part, (room, *image.shape), recording.name)
        count = len(stamps)
        if image.shape != stored.shape[1:]:
            part.unlink()
            raise SourceError(f"{recording.name}: its frames differ in size; frame {count} is {image.shape[1]}x{image.shape[0]}")
        stored[count] = image
        stamps.append(frame.stamp_ns)
        tick()
    count = len(stamps)
    if stored is None:
        raise SourceError(f"{recording.name}: no frame can be decoded")
    if recording.expected not in (None, count):
        part.unlink()
        raise SourceError(f"{recording.name}: {count} of {recording.expected} frames are there; download it again")
    shape = stored.shape[1:]
    del stored  # writes what is left
    meta = Meta(recording.name, source.rate_hz, (count, *shape), part.stat().st_size, room - count, gaps(stamps))
    part.replace(path)  # whole or not at all
    notes = path.with_suffix(".json.part")
    notes.write_text(json.dumps(asdict(meta)))
    notes.replace(path.with_suffix(".json"))


def gaps(stamps_ns: list[int]) -> tuple[int, ...]:
    """Numbers of the frames that come GAP times later than frames usually do, or not later at all (a bag that loops).

    None where no frame is later than another: a file whose stamps say nothing.
    """
    steps = [now - before for before, now in pairwise(stamps_ns)]
    forward = [step for step in steps if step > 0]
    longest = GAP * median(forward) if forward else 0
    return tuple(number for number, step in enumerate(steps, start=1) if forward and not 0 < step <= longest)


def _make_room(path: Path, shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    """A memory-mapped file whose every byte has its place: a page of a sparse one without a place kills whoever writes to it."""
    try:
        stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        needed, free = math.prod(shape) / 1e9, shutil.disk_usage(path.parent).free / 1e9
        raise SourceError(
            f"{name}: its frames need {needed:.1f} GB in {path.parent}, {free:.1f} GB are free ({error.strerror}); "
            "VIDPRED_CACHE moves the cache to another disk"
        ) from None
    return stored


def _shrink(image: NDArray[np.uint8], fit: tuple[int, int] | None) -> NDArray[np.uint8]:
    """What the cache holds of a frame (H x W x 3) or a label map (H x W), which is resized by nearest neighbour only."""
    height, width = image.shape[:2]
    if fit is None and height <= CACHE_HEIGHT:
        return image
    fit = fit or (CACHE_HEIGHT, round(width * CACHE_HEIGHT / height))
    return crop_and_resize_labels(image, fit) if image.ndim == 2 else crop_and_resize(image, fit)
