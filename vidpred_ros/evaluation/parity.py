"""Whether an engine computes what float32 does: the same windows of a recording through both, and how far apart they end.

What is compared is what a predictor makes of a window, so that states, flows and all graphs that take part are in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays
from vidpred_ros.evaluation.trials import Watch, no_window, split, windows_of_all_phases
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.sources.base import Source
from vidpred_ros.window import Window

#: Windows of the source that are compared, one after the other, as a stream sees them.
WINDOWS = 20


class Subject(Protocol):
    """What makes outputs of a window: ``futures`` (K or a multiple, H, W, 3) uint8, ``labels`` uint8 maps of classes, or float32 arrays."""

    size: tuple[int, int]  # of a window's frames
    period_s: float
    window_length: int
    steps: int

    def __call__(self, window: Window) -> Arrays: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Limits:
    """How far an engine may be from float32. Each counts where there is such an output."""

    colour: float  # mean difference of a future's colours, which go from 0 to 255
    ssim: float  # by how much SSIM against what then happened may be lower
    lpips: float  # by which share LPIPS against what then happened may be higher
    labels: float  # share of the pixels of label maps that may differ
    pixels: float  # mean difference of motions, in pixels


#: By the engine's precision: about twice what hrp_tree_w25 shows on kitti_residential_b (colours: bf16 0.78, int8 0.94).
LIMITS = {
    "fp32": Limits(colour=0.1, ssim=0.0005, lpips=0.002, labels=0.002, pixels=0.01),
    "fp16": Limits(colour=0.5, ssim=0.002, lpips=0.01, labels=0.01, pixels=0.05),
    "bf16": Limits(colour=1.5, ssim=0.005, lpips=0.02, labels=0.03, pixels=0.2),
    "int8": Limits(colour=2.0, ssim=0.01, lpips=0.02, labels=0.05, pixels=0.4),
    "fp8": Limits(colour=2.0, ssim=0.01, lpips=0.02, labels=0.05, pixels=0.4),
}


@dataclass(frozen=True)
class Difference:
    """Of one output over all windows. Of labels both are shares of pixels that differ: of all windows and of the worst."""

    mean: float
    max: float


@dataclass(frozen=True)
class Parity:
    """What a comparison found. Scores, of the first step and the last, are (float32, engine); None without futures, or where they
    cannot be computed."""

    windows: int
    source: str
    outputs: dict[str, Difference]
    ssim: tuple[float, float] | None
    lpips: tuple[float, float] | None
    failures: tuple[str, ...]  # limits that do not hold, in words
    not_computed: dict[str, str] = field(default_factory=dict)  # metrics of futures that this machine lacks, and why

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(reference: Subject, candidate: Subject, source: Source, precision: str, watch: Watch = iter) -> Parity:
    """Both on the same windows of ``source``, against the limits of a precision. Raises NoWindowError for a source without one."""
    gathered = _Gathered()
    metrics = FrameMetrics()
    for past, future in watch(_windows(reference, source)):
        gathered.add(reference(past), candidate(past), future.frames, metrics)
    if not gathered.windows:
        raise no_window(source, reference, reference.window_length + reference.steps)
    found = gathered.parity(source.name, LIMITS[precision])
    return found if found.ssim is None else replace(found, not_computed=metrics.reasons)


def _windows(subject: Subject, source: Source) -> Iterator[tuple[Window, Window]]:
    """Past and future."""
    every = windows_of_all_phases(source, subject, subject.window_length + subject.steps)
    for _, both in islice(every, WINDOWS):
        yield split(both, subject.window_length)


class _Gathered:
    """Differences and scores, window by window."""

    def __init__(self) -> None:
        self.windows = 0
        self._means: dict[str, list[float]] = {}
        self._maxima: dict[str, list[float]] = {}
        self._scores: dict[str, list[tuple[float, float]]] = {"ssim": [], "lpips": []}

    def add(self, wanted: Arrays, got: Arrays, truth: Sequence[NDArray[np.uint8]], metrics: FrameMetrics) -> None:
        self.windows += 1
        for name, expected in wanted.items():
            if name == "labels":
                share = float((expected != got[name]).mean())
                mean, largest = share, share
            else:
                apart = np.abs(expected.astype(np.float32) - got[name].astype(np.float32))
                mean, largest = float(apart.mean()), float(apart.max())
            self._means.setdefault(name, []).append(mean)
            self._maxima.setdefault(name, []).append(largest)
        if "futures" in wanted:
            scored = sorted({0, len(truth) - 1})  # the first and the last step (of the first camera): LPIPS takes its time
            ahead = np.stack([truth[k] for k in scored])
            pairs = zip(metrics(wanted["futures"][scored], ahead), metrics(got["futures"][scored], ahead), strict=True)
            for ours, theirs in pairs:
                for name, scores in self._scores.items():
                    if ours[name] is not None:
                        scores.append((ours[name], theirs[name]))

    def parity(self, source: str, limits: Limits) -> Parity:
        outputs = {name: Difference(float(np.mean(means)), max(self._maxima[name])) for name, means in self._means.items()}
        scores = {name: (float(a), float(b)) for name, pairs in self._scores.items() if pairs for a, b in [np.mean(pairs, axis=0)]}
        ssim, lpips = scores.get("ssim"), scores.get("lpips")
        return Parity(self.windows, source, outputs, ssim, lpips, tuple(_failures(outputs, ssim, lpips, limits)))


def _failures(
    outputs: Mapping[str, Difference], ssim: tuple[float, float] | None, lpips: tuple[float, float] | None, limits: Limits
) -> Iterator[str]:
    """``not (x <= limit)``, since a network that overflows gives no number."""
    bounds = {
        "futures": (limits.colour, "colours differ by {:.2g} of 255 on average"),
        "labels": (limits.labels, "{:.2g} of the label maps' pixels differ"),
        "motions": (limits.pixels, "motions differ by {:.2g} pixels on average"),
    }
    for name, difference in outputs.items():
        if name in bounds:
            limit, words = bounds[name]
            if not difference.mean <= limit:
                yield f"{words.format(difference.mean)} (limit {limit:g})"
        elif not np.isfinite(difference.mean):
            yield f"{name} is not finite"
    if ssim is not None and not ssim[0] - ssim[1] <= limits.ssim:
        yield f"SSIM falls from {ssim[0]:.4f} to {ssim[1]:.4f} (limit {limits.ssim:g})"
    if lpips is not None and not lpips[1] <= lpips[0] * (1 + limits.lpips):
        yield f"LPIPS rises from {lpips[0]:.4f} to {lpips[1]:.4f} (limit {100 * limits.lpips:g} %)"
