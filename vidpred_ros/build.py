"""Building ahead what the node would build at its start, and holding it against float32: for `vidpred build`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidpred_ros import engines
from vidpred_ros.engines import plans
from vidpred_ros.engines.base import Arrays, Engine, GraphSpec, graphs_of
from vidpred_ros.engines.choice import EngineChoice, file_precision, obstacles
from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.label_trials import stack_labels
from vidpred_ros.evaluation.parity import Parity, Subject, compare
from vidpred_ros.evaluation.trials import Watch, stack_frames
from vidpred_ros.models import ReleasedModel, find_model
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.predictors import make_predictor
from vidpred_ros.predictors.base import Predictor
from vidpred_ros.predictors.cameras import CameraBatch
from vidpred_ros.predictors.foretold_motion import ForetoldMotion
from vidpred_ros.predictors.hierarchical import Hierarchical, open_hierarchical
from vidpred_ros.predictors.structure import Structure
from vidpred_ros.segmenters import Segmenter
from vidpred_ros.segmenters.released import Released
from vidpred_ros.sources.base import Source
from vidpred_ros.window import Window

#: Graphs that are built and checked on windows. The others (step, edges, pixels) belong to tools, which open them when they run.
KINDS = ("stream", "whole", "motion", "segment", "encode", "forecast", "structure")
#: Engines that stand for float32, the first that can run here.
REFERENCES = ("onnxruntime", "openvino", "torch")
#: Makes the label maps that structure models are checked on.
SEGMENTER = "segmenter_lite0"


@dataclass(frozen=True)
class Request:
    """What to build of one model. ``kind`` None: what the node opens; ``steps`` and ``samples`` are the node's parameters, ``batch``
    the number of its cameras."""

    model: ReleasedModel
    kind: str | None = None
    steps: int = 5
    samples: int = 8
    batch: int = 1


@dataclass(frozen=True)
class Built:
    """Engines that work together (closed again), how long it took to open them, and how they compare with float32."""

    engines: tuple[Engine, ...]
    seconds: float
    parity: Parity


def build(request: Request, choice: EngineChoice, source: Source, watch: Watch = iter) -> Built:
    """Export and build what is missing, and compare it with float32 on windows of ``source``.

    ``watch`` wraps the windows, for a progress bar. Raises VidpredError where an engine cannot be built, and ConfigError for a
    graph that is not one of the model's ``KINDS``. The caller looks at ``parity.failures``.
    """
    check_kind(request)
    opened: list[Engine] = []
    with ExitStack() as undo:
        reference = undo.enter_context(closing(make_subject(request, reference_for(choice), together=False)))
        start = time.perf_counter()
        candidate = undo.enter_context(closing(make_subject(request, replace(choice, opened=opened.append, refused=True))))
        seconds = time.perf_counter() - start
        parity = compare(reference, candidate, source, opened[0].precision, watch)
    for engine in opened:
        if isinstance(plan := getattr(engine, "plan", None), Path):  # TensorRT keeps the figures, and a node does not run what failed
            plans.note(plan, parity.as_dict(), "; ".join(parity.failures))
    return Built(tuple(opened), seconds, parity)


def export(request: Request, choice: EngineChoice) -> list[Path]:
    """The ONNX files that an engine of that name and precision needs on another machine, made where they are missing: the graphs
    that the node opens, in float32 and as the engine wants them. Raises VidpredError."""
    assert choice.name is not None, "the other machine has one"
    opened: list[Engine] = []
    make_subject(request, replace(reference_for(choice), opened=opened.append), together=False).close()
    wanted = file_precision(choice.name, choice.precision)
    files = []
    for engine in opened:
        model, spec = _what(engine, request.model)
        specs = [spec, replace(spec, batch=request.batch), replace(spec, batch=request.batch, precision=wanted)]
        files += [engines.exported_file(model, one, choice.progress) for one in dict.fromkeys(specs)]
    return files


def _what(engine: Engine, model: ReleasedModel) -> tuple[ReleasedModel, GraphSpec]:
    """The model and the graph that an engine runs; ``model`` where it is that one."""
    about = {key.removeprefix("vidpred."): value for key, value in engine.metadata.items()}
    released = model if about["model"] == model.id else find_model(about["model"])
    if "frames" in engine.inputs:  # the motion model of a structure model has the size of its label maps
        height, width = engine.inputs["frames"][-3:-1]
        released = released.at((height, width))
    steps, samples, batch = (int(about.get(name, 1)) for name in ("steps", "samples", "batch"))
    return released, GraphSpec(about["kind"], steps, samples, batch)


def check_kind(request: Request) -> None:
    """Raise ConfigError for a graph that cannot be built here."""
    model, config = request.model, request.model.card.network
    there = [kind for kind in graphs_of(config) if kind in KINDS]
    if not there:
        raise ConfigError(f"model {model.id} ({config.kind}) is run by tools and not by the node: they build what they need")
    if request.kind is not None and request.kind not in there:
        raise ConfigError(f"model {model.id} ({config.kind}) has no graph {request.kind!r} to build; it has: {', '.join(there)}")
    if request.batch > 1 and (config.kind != "hierarchical" or request.kind == "motion"):
        raise ConfigError(f"model {model.id} ({config.kind}) takes one camera at a time: only the frames of a hierarchical one go as a batch")


def reference_for(choice: EngineChoice) -> EngineChoice:
    """Float32 on the CPU, on another runtime than the chosen one where there is one. Raises ConfigError where there is none."""
    there = [name for name in REFERENCES if not obstacles()[name]]
    if not there:
        raise ConfigError("nothing to compare with: pip install onnxruntime (or openvino, or torch)")
    others = [name for name in there if name != choice.name]
    return EngineChoice((others or there)[0], "fp32", choice.progress)


def make_subject(request: Request, choice: EngineChoice, together: bool = True) -> Subject:
    """What runs the graphs of a request on windows; several cameras as one batch, or not ``together``. Raises VidpredError."""
    model, config, kind = request.model, request.model.card.network, request.kind
    if config.kind == "segmenter":
        return _Segments(Released(model, choice), model.card.period)
    if config.kind == "s2s" or (config.kind == "structure" and config.space != "rgb"):
        return _Labels(request, choice)
    if kind == "motion":
        return _Motions(request, choice)
    if request.batch > 1:
        return _Cameras(request, choice, together)
    return _Frames(make_predictor(model, choice, request.steps, stream=None if kind is None else kind == "stream"))


class _Frames:
    """Future frames."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.size, self.period_s = predictor.size, predictor.period_s
        self.window_length, self.steps = predictor.window_length, predictor.steps
        self.close = predictor.close

    def __call__(self, window: Window) -> Arrays:
        return {"futures": stack_frames(self._predictor.predict(window))}


class _Cameras:
    """Future frames of several cameras, each of which sees the same drive moved to the side, and moved back again: K for each."""

    def __init__(self, request: Request, choice: EngineChoice, together: bool) -> None:
        model, steps, count = request.model, request.steps, request.batch
        stream = model.card.network.streams if request.kind is None else request.kind == "stream"
        engine = open_hierarchical(model, choice, steps, stream, count if together else 1)
        self._batch = CameraBatch(model, engine, steps, count) if together else None
        self._apart = [] if together else [Hierarchical(model, engine, steps) for _ in range(count)]
        self.size, self.period_s = model.card.size, model.card.period
        self.window_length, self.steps, self.close = model.card.window, steps, engine.close
        self._moves = [camera * self.size[1] // count for camera in range(count)]

    def __call__(self, window: Window) -> Arrays:
        windows = {camera: replace(window, frames=_moved(window.frames, by)) for camera, by in enumerate(self._moves)}
        if self._batch is not None:
            forecasts = self._batch.predict(windows)
        else:
            forecasts = {camera: self._apart[camera].predict(windows[camera]) for camera in windows}
        futures = [np.roll(stack_frames(forecasts[camera]), -by, axis=2) for camera, by in enumerate(self._moves)]
        return {"futures": np.concatenate(futures)}


def _moved(frames: Sequence[NDArray[np.uint8]], by: int) -> tuple[NDArray[np.uint8], ...]:
    return tuple(np.roll(frame, by, axis=1) for frame in frames)


class _Labels:
    """Future label maps and how sure they are, of label maps that a segmenter in float32 makes."""

    def __init__(self, request: Request, choice: EngineChoice) -> None:
        with ExitStack() as undo:
            self._segmenter = Released(find_model(SEGMENTER), reference_for(choice))
            undo.callback(self._segmenter.close)
            whole = request.kind == "structure"
            self._structure = Structure(request.model, None, choice, request.steps, request.samples, stream=not whole)
            undo.callback(self._structure.close)
            self.close = undo.pop_all().close
        self.size, self.period_s = self._segmenter.size, self._structure.period_s
        self.window_length, self.steps = self._structure.window_length, self._structure.steps

    def __call__(self, window: Window) -> Arrays:
        labels = [self._segmenter.segment(frame) for frame in window.frames]
        forecast = self._structure.predict(window, labels)
        arrays: Arrays = {"labels": stack_labels(forecast)}
        for name in ("entropy", "confidence"):
            arrays[name] = np.stack([getattr(horizon, name) for horizon in forecast.horizons])
        return arrays


class _Segments:
    """The label map of a frame."""

    window_length, steps = 1, 0

    def __init__(self, segmenter: Segmenter, period_s: float) -> None:
        self._segmenter, self.size, self.period_s = segmenter, segmenter.size, period_s
        self.close = segmenter.close

    def __call__(self, window: Window) -> Arrays:
        return {"labels": self._segmenter.segment(window.frames[-1])}


class _Motions:
    """The motion that a frame predictor foretells."""

    window_length = WINDOW

    def __init__(self, request: Request, choice: EngineChoice) -> None:
        card = request.model.card
        self.size, self.period_s, self.steps = card.size, card.period, request.steps
        self._foretold = ForetoldMotion(str(request.model.folder), card.size, request.steps, choice)
        self._flow, self.close = DisFlow(), self._foretold.close

    def __call__(self, window: Window) -> Arrays:
        grays = [gray(frame) for frame in window.frames]
        flows: list[NDArray[np.float32]] = [np.zeros((*self.size, 2), np.float32)]
        flows += [self._flow(now, before) for before, now in pairwise(grays)]
        return {"motions": self._foretold(window.frames, flows)}
