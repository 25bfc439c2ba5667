"""The lanes that the parameters of the predictor node ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode

from vidpred_ros.engines.base import Progress
from vidpred_ros.engines.choice import EngineChoice
from vidpred_ros.errors import ConfigError
from vidpred_ros.forecast import Forecast
from vidpred_ros.nodes.crew import Crew
from vidpred_ros.nodes.frame_outputs import FrameOutputs
from vidpred_ros.nodes.ground_output import GroundOutput
from vidpred_ros.nodes.label_lane import LabelLane, LabelTopicLane
from vidpred_ros.nodes.label_outputs import LabelOutputs
from vidpred_ros.nodes.lane import Job, Lane
from vidpred_ros.nodes.messages import filmstrip
from vidpred_ros.predictors import make_predictor
from vidpred_ros.predictors.base import LabelPredictor, Predictor
from vidpred_ros.predictors.cameras import CameraSeat, make_predictors
from vidpred_ros.predictors.label_baselines import LABEL_BASELINES, LABEL_SIZE
from vidpred_ros.predictors.structure import label_size, make_structure
from vidpred_ros.segmenters import Segmenter, make_segmenter
from vidpred_ros.semantics import IGNORE, TRAIN_IDS, read_class_table
from vidpred_ros.window import Window

#: The value of the parameter segmenter that stands for another node's label maps.
TOPIC = "topic"


def make_lanes(node: LifecycleNode, settings: dict[str, Any], progress: Progress) -> dict[str, Lane]:
    """ "forecast", the lane of frames, and with the parameter structure "labels", that of label maps. Of several cameras,
    the lane of each by its name.

    ``progress`` is told of engines that are exported and built. Raises VidpredError, and then leaves nothing open.
    """
    if settings["ground"] and not settings["structure"]:
        node.get_logger().warning("parameter ground has no effect without structure: its points are of predicted label maps")
    engine = engine_choice(settings, progress)
    if settings["cameras"]:
        return camera_lanes(node, settings, engine)
    with ExitStack() as undo:
        lanes = {"forecast": frame_lane(node, settings, engine)}
        undo.callback(lanes["forecast"].close)
        if settings["structure"]:
            lanes["labels"] = label_lane(node, settings, engine)
        undo.pop_all()
    return lanes


def frame_lane(node: LifecycleNode, settings: dict[str, Any], engine: EngineChoice) -> Lane:
    """Raises VidpredError."""
    predictor = make_predictor(settings["model"], engine, settings["steps"])
    with ExitStack() as undo:
        undo.callback(predictor.close)
        window = _black(predictor)
        filmstrip(window.frames[-1], predictor.predict(window))  # OpenCV loads its font
        undo.pop_all()
    return Lane(node, predictor, FrameOutputs(node, predictor.steps), predictor.close)


def camera_lanes(node: LifecycleNode, settings: dict[str, Any], engine: EngineChoice) -> dict[str, Lane]:
    """A lane for each camera, all with one engine and one crew. Raises VidpredError."""
    names = settings["cameras"]
    check_cameras(names, settings["structure"])
    predictors = make_predictors(settings["model"], engine, settings["steps"], len(names))
    first = predictors[0]
    with ExitStack() as undo:
        undo.callback(first.close)  # the engine is every camera's
        window = _black(first)
        filmstrip(window.frames[-1], first.predict(window))  # OpenCV loads its font
        undo.pop_all()
    crew = Crew(together, len(names)) if isinstance(first, CameraSeat) else Crew()
    lanes = {}
    for name, predictor in zip(names, predictors, strict=True):
        lanes[name] = Lane(node, predictor, FrameOutputs(node, predictor.steps, name), predictor.close, crew, name)
    return lanes


def check_cameras(names: Sequence[str], structure: bool) -> None:
    """Raise ConfigError for names that cannot be part of a topic's, and for label maps of several cameras."""
    wrong = [name for name in names if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)]
    if wrong or len(set(names)) < len(names):
        raise ConfigError(
            "parameter cameras wants names that differ, each a letter and then letters, digits or _: "
            f"not {', '.join(wrong or names)}"
        )
    if structure:
        raise ConfigError(
            "label maps are predicted for one camera in a process: leave the parameter cameras empty, or structure false, and "
            "start a node with structure for each camera that needs label maps"
        )


def together(jobs: Mapping[Lane, Job]) -> dict[Lane, Forecast | None]:
    """All cameras that wait in one pass of their batch."""
    seats = {lane: lane.predictor for lane in jobs}
    numbers = {lane: seat.number for lane, seat in seats.items() if isinstance(seat, CameraSeat)}
    batch = next(seat.batch for seat in seats.values() if isinstance(seat, CameraSeat))
    forecasts = batch.predict({numbers[lane]: job.window for lane, job in jobs.items()})
    return {lane: forecasts.get(number) for lane, number in numbers.items()}


def label_lane(node: LifecycleNode, settings: dict[str, Any], engine: EngineChoice) -> Lane:
    """Raises VidpredError."""
    file = Path(settings["class_table"]) if settings["class_table"] else None
    on_topic = settings["segmenter"] == TOPIC
    table = read_class_table(file) if on_topic and file else TRAIN_IDS
    with ExitStack() as undo:
        segmenter = None
        if not on_topic:
            segmenter = make_segmenter(settings["segmenter"], engine, file, label_size(settings["structure_model"]))
            undo.callback(segmenter.close)
        predictor = _label_predictor(settings, segmenter, engine)
        undo.callback(predictor.close)
        unknown = [np.full(predictor.label_size, IGNORE, np.uint8)] * predictor.window_length
        predictor.predict(_black(predictor), unknown if on_topic else None)
        ground = GroundOutput(node, settings, predictor.label_size) if settings["ground"] else None
        outputs = LabelOutputs(node, predictor.steps, ground)
        free = undo.pop_all().close
    return (
        LabelTopicLane(node, predictor, outputs, free, table)
        if on_topic
        else LabelLane(node, predictor, outputs, free)
    )


def _label_predictor(settings: dict[str, Any], segmenter: Segmenter | None, engine: EngineChoice) -> LabelPredictor:
    model, steps = settings["structure_model"], settings["steps"]
    if model in LABEL_BASELINES:
        size = segmenter.size if segmenter else LABEL_SIZE
        predictor: LabelPredictor = LABEL_BASELINES[model](segmenter, size, 0.1, steps)
    else:
        predictor = make_structure(model, segmenter, engine, steps, settings["samples"])
    (height, width), (rows, columns) = predictor.size, predictor.label_size
    if height * columns != width * rows:
        predictor.close()
        raise ConfigError(
            f"the segmenter sees {width}x{height} and {predictor.model_id} predicts {columns}x{rows}: the shapes differ, so "
            "their label maps would show different parts of the picture; choose another segmenter"
        )
    return predictor


def engine_choice(settings: dict[str, Any], progress: Progress) -> EngineChoice:
    """What the parameters engine and precision ask for."""
    name, precision = (None if settings[key] == "auto" else settings[key] for key in ("engine", "precision"))
    return EngineChoice(name, precision, progress)


def _black(predictor: Predictor | LabelPredictor) -> Window:
    """A window of black frames for the first inference, which allocates and compiles.

    That time is spent at configure, where a broken engine is found before a frame comes.
    """
    black = np.zeros((*predictor.size, 3), np.uint8)
    length, period_ns = predictor.window_length, round(predictor.period_s * 1e9)
    stamps = tuple(k * period_ns for k in range(length))
    return Window(stamps, (black,) * length, epoch=-1, sequence=length, period_ns=period_ns)
