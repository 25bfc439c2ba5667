"""What ``vidpred predict --structure`` writes: label futures of every window, or one that goes on for as long as wanted."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ConfigError, VidpredError
from vidpred_ros.evaluation.plots import STYLE, tidy
from vidpred_ros.evaluation.trials import Watch, no_window, windows
from vidpred_ros.evaluation.video import SideBySide
from vidpred_ros.metrics.fvd import ClipFeatures, shot_features, shot_wise_fvd
from vidpred_ros.predictors.long_future import LongFuture
from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.predictors.rgb_propagation import RgbPropagation
from vidpred_ros.predictors.structure import Structure
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.semantics import colorize
from vidpred_ros.sources.base import Source
from vidpred_ros.window import Window

#: Frames of a shot, and from one shot to the next (Lee 2021 has every one; they overlap, and each costs a pass of I3D).
SHOT, STRIDE = 16, 8
#: Shots that a Frechet distance should have on the side of the predictions.
ENOUGH_SHOTS = 8

Image = NDArray[np.uint8]


def write_windows(source: Source, predictor: Structure, out: Path, watch: Watch = iter) -> int:
    """labels/WINDOW_step_K.png (train ids), index.csv and forecast.mp4 of every window; returns the number of windows.

    Raises VidpredError, before anything is written, where there is none.
    """
    every = windows(source, predictor, predictor.window_length, watch)
    first = next(every, None)
    if first is None:
        raise no_window(source, predictor, predictor.window_length)
    titles = ["camera now", *(f"+{k * predictor.period_s:.2g} s" for k in range(1, predictor.steps + 1))]
    (out / "labels").mkdir(parents=True)
    count = 0
    with closing(SideBySide(out / "forecast.mp4", titles, predictor.period_s, legend=True)) as video, closing(_Index(out)) as index:
        for window in chain([first], every):
            forecast = predictor.predict(window)
            panels = [crop_and_resize(window.frames[-1], predictor.label_size)]
            for horizon in forecast.horizons:
                assert horizon.labels is not None
                index.add(f"{count:06d}_step_{horizon.step}", horizon.labels, window, horizon.step, horizon.stamp_ns)
                panels.append(colorize(horizon.labels))
            video.add(panels)
            count += 1
    return count


@dataclass
class Pixels:
    """What makes frames of a long future's label maps."""

    rolls: Sequence[PixelRoll]  # one for each sample
    propagate: Segmenter | None = None  # of the frames made, whose label maps the next step goes on from
    features: ClipFeatures | None = None  # for shot-wise FVD


def write_long_future(
    source: Source,
    future: LongFuture,
    steps: int,
    out: Path,
    pixels: Pixels | None = None,
    at_s: float | None = None,
    watch: Watch = iter,
    track: Callable[[range], Iterable[int]] = iter,
) -> list[str]:
    """``steps`` label maps after the window that ends ``at_s`` seconds into the source (None: after the last one).

    Writes labels/STEP_sample_N.png (train ids), index.csv, labels.mp4, and with ``pixels`` rgb.mp4; with features also
    fvd.csv and fvd.png, if there are more shots than are pooled (``fvd_steps``). What is kept is the states and the frames of
    a shot, so memory does not grow with ``steps``, but for the features of each shot (400 numbers of I3D for STRIDE frames).
    ``watch`` is wrapped around the source's frames, ``track`` around the steps. Returns the names of the files. Raises
    VidpredError, before anything is written, where there is no such window.
    """
    (*before, window), true_shots = _look(source, future, pixels, at_s, watch)
    titles = [f"sample {n + 1}" for n in range(future.samples)]
    made: list[list[NDArray[np.float32]]] = [[] for _ in titles]
    with ExitStack() as stack:
        future.start(window, before)
        (out / "labels").mkdir(parents=True)
        index = stack.enter_context(closing(_Index(out)))
        labels_video = SideBySide(out / "labels.mp4", titles, future.period_s, legend=True)
        videos = {"labels.mp4": stack.enter_context(closing(labels_video))}
        if pixels:
            videos["rgb.mp4"] = stack.enter_context(closing(SideBySide(out / "rgb.mp4", titles, future.period_s)))
            maker = _Frames(pixels, window, future)
        seen: NDArray[np.uint8] | None = None
        recent: list[deque[Image]] = [deque(maxlen=SHOT) for _ in titles]
        for step in track(range(1, steps + 1)):
            maps = future.step(seen)
            for n, labels in enumerate(maps):
                stamp = window.stamps_ns[-1] + step * window.period_ns
                index.add(f"{step:06d}_sample_{n + 1}", labels, window, step, stamp)
            when = f"+{step * future.period_s:.1f} s"
            videos["labels.mp4"].add([colorize(labels) for labels in maps], when)
            if pixels:
                frames, seen = maker(maps)
                videos["rgb.mp4"].add(frames, when)
                for shots, shot, frame in zip(made, recent, frames, strict=True):
                    shot.append(frame)
                    if pixels.features and step >= SHOT and (step - SHOT) % STRIDE == 0:
                        shots.append(pixels.features(np.stack(shot)[None])[0])
    files = ["labels", "index.csv", *videos]
    if true_shots is not None and steps >= fvd_steps(future.samples):
        _write_fvd(np.array(made), true_shots, future.period_s, out)
        files += ["fvd.csv", "fvd.png"]
    return files


def fvd_steps(samples: int) -> int:
    """Steps from which on shot-wise FVD is a curve: with fewer, all shots are pooled at all times."""
    return SHOT + STRIDE * (2 * _around(samples) + 1)


def _around(samples: int) -> int:
    """Shots before and after one that are pooled with it, so that there are ``ENOUGH_SHOTS``."""
    return max(0, -(-(ENOUGH_SHOTS // samples - 1) // 2))


class _Index:
    """labels/ and index.csv: which label map is of which instant."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._file = (out / "index.csv").open("w", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["file", "source_stamp_ns", "step", "stamp_ns"])

    def add(self, name: str, labels: Image, window: Window, step: int, stamp_ns: int) -> None:
        cv2.imwrite(str(self._out / "labels" / f"{name}.png"), labels)
        self._rows.writerow([f"labels/{name}.png", window.stamps_ns[-1], step, stamp_ns])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class _Frames:
    """Label maps N x H x W to frames, and to the label maps to go on from: None, or those seen in the frames."""

    def __init__(self, pixels: Pixels, window: Window, future: LongFuture) -> None:
        size = pixels.rolls[0].size
        maps = [crop_and_resize_labels(labels, size) for labels in future.context]
        frames = [crop_and_resize(frame, size) for frame in window.frames[-len(maps) :]]
        for roll in pixels.rolls:
            roll.start(frames, maps)
        self._rolls, self._size = pixels.rolls, size
        segmenter = pixels.propagate
        self._through = [RgbPropagation(roll, segmenter) for roll in pixels.rolls] if segmenter else []

    def __call__(self, maps: NDArray[np.uint8]) -> tuple[list[Image], NDArray[np.uint8] | None]:
        wanted = [crop_and_resize_labels(labels, self._size) for labels in maps]
        if not self._through:
            return [roll.step(labels) for roll, labels in zip(self._rolls, wanted, strict=True)], None
        seen = [through(labels) for through, labels in zip(self._through, wanted, strict=True)]
        frames = [through.frame for through in self._through if through.frame is not None]
        label_size = (maps.shape[1], maps.shape[2])
        return frames, np.stack([crop_and_resize_labels(labels, label_size) for labels in seen])


def _look(
    source: Source, future: LongFuture, pixels: Pixels | None, at_s: float | None, watch: Watch
) -> tuple[list[Window], NDArray[np.float32] | None]:
    """The window to go on from, after those that its motion prior looks back on, and the features of the source's own shots
    where they are wanted and there are any."""
    chosen: list[Window] = []
    recent: deque[Window] = deque(maxlen=1 + future.memory)
    start: int | None = None

    def newest() -> Iterable[Image]:
        nonlocal chosen, start
        size = pixels.rolls[0].size if pixels else None
        for window in windows(source, future, future.window_length, watch):  # type: ignore[arg-type]
            start = window.stamps_ns[0] if start is None else start
            recent.append(window)
            if at_s is None or not chosen or chosen[-1].stamps_ns[-1] < start + at_s * 1e9:
                chosen = [*recent]
            if size:
                yield crop_and_resize(window.frames[-1], size)

    features = pixels.features if pixels else None
    shots = None
    if features:
        try:
            shots = shot_features(newest(), SHOT, features, STRIDE)[1]
        except ConfigError:
            shots = None  # a source shorter than a shot: said by who asked, who sees no fvd.csv
    else:
        deque(newest(), maxlen=0)
    if not chosen or start is None:
        raise no_window(source, future, future.window_length)
    if at_s is not None and chosen[-1].stamps_ns[-1] < start + at_s * 1e9:
        last = (chosen[-1].stamps_ns[-1] - start) / 1e9
        raise ConfigError(f"{source.name}: no window ends {at_s:g} s after its first frame or later; the last one ends at {last:g} s")
    return chosen, shots if shots is not None and len(shots) > 1 else None


def _write_fvd(made: NDArray[np.float32], true_shots: NDArray[np.float32], period_s: float, out: Path) -> None:
    """Shot-wise FVD over time of M predictions (M, S, D) against the source's own shots (L, D)."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    around = _around(len(made))
    values = shot_wise_fvd(made, true_shots, around)
    seconds = period_s * (1 + STRIDE * np.arange(len(values)))
    with (out / "fvd.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["first_frame", "seconds_ahead", "fvd", "predictions", "shots_before_and_after", "true_shots"])
        for i, value in enumerate(values):
            rows.writerow([1 + STRIDE * i, f"{seconds[i]:.3f}", f"{value:.3f}", len(made), around, len(true_shots)])
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "path"}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        tidy(axes)
        axes.plot(seconds, values, color="#1d4ed8")
        axes.set_xlabel("seconds ahead")
        axes.set_ylabel(f"shot-wise FVD\n({len(made) * (2 * around + 1)} shots of {SHOT} frames a point)")
        axes.set_ylim(bottom=0)
        figure.savefig(out / "fvd.png", dpi=120)


def i3d_or_reason() -> tuple[ClipFeatures | None, str]:
    """The network of FVD, or None and why."""
    from vidpred_ros.metrics.i3d import I3d

    try:
        return I3d(), ""
    except VidpredError as error:
        return None, str(error)
