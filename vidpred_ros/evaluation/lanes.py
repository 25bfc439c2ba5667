"""From names to a structure lane: which models predict label maps, and what they need."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.label_trials import Origin, StructureLane
from vidpred_ros.models import ModelCard, find_model
from vidpred_ros.networks.config import FORECAST_KINDS, STRUCTURE_KINDS
from vidpred_ros.predictors import BASELINES
from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.predictors.structure import find_structure, make_structure
from vidpred_ros.segmenters import make_segmenter

#: Futures that a stochastic structure generator draws for its own uncertainty, unless somebody asks for more.
SAMPLES = 8


def predicts_labels(model: str) -> bool:
    """Whether a model by name or folder predicts label maps. Raises ModelError for one that is not there."""
    return model not in BASELINES and find_model(model, FORECAST_KINDS).card.network.kind in STRUCTURE_KINDS


def open_lane(
    model: str,
    segmenter: str,
    engine: str | None,
    steps: int,
    *,
    samples: int = 0,
    period_s: float | None = None,
    context: Origin = "segmenter",
    class_table: Path | None = None,
    pixels: str | None = None,
    edges: str | None = None,
    perceptual: bool = False,
) -> StructureLane:
    """A structure model and a segmenter by name, folder or .onnx file, on an engine (None: the best one here).

    ``samples``: score the best of so many drawn futures too; ``period_s`` None: the model's own. ``pixels``: a pixel generator,
    by name or folder, and ``edges`` if it takes boundaries: score what it paints too, ``perceptual`` by CSIM, FVD and Inception
    Score too. Raises ModelError, EngineError or ConfigError as ``make_structure``, ``make_segmenter`` and ``PixelRoll`` do, and
    ConfigError for a pixel generator of label maps of another size or other classes.
    """
    card = find_structure(model).card
    with ExitStack() as opened:  # where one cannot be opened, those before it are closed
        roll = None if pixels is None else _open_pixels(pixels, edges, engine, card)
        if roll is not None:
            opened.callback(roll.close)
        eyes = make_segmenter(segmenter, engine, class_table, card.size)
        opened.callback(eyes.close)
        predictor = make_structure(model, eyes, engine, steps, samples or SAMPLES)
        opened.callback(predictor.close)
        if samples > predictor.samples:
            raise ConfigError(f"--samples {samples}: {predictor.model_id} is not stochastic, its forecasts are all the same")
        (height, width), (rows, columns) = eyes.size, predictor.label_size
        if height * columns != width * rows:
            raise ConfigError(
                f"{eyes.name} sees {width}x{height} and {predictor.model_id} predicts {columns}x{rows}: the shapes differ, so their "
                "label maps would be of different parts of the picture; choose another segmenter"
            )
        opened.pop_all()
    if period_s is not None:
        predictor.period_s = period_s
    return StructureLane(predictor, eyes, context, samples, roll, perceptual)


def _open_pixels(name: str, edges: str | None, engine: str | None, structure: ModelCard) -> PixelRoll:
    model = find_model(name, ["pixels"])
    card = model.card
    if card.network.kind == "pixels" and (card.size, card.classes) != (structure.size, structure.classes):
        mine, theirs = ("{1}x{0} and {2} classes".format(*one.size, len(one.classes)) for one in (card, structure))
        raise ConfigError(f"{card.id} paints label maps of {mine}, {structure.id} predicts {theirs}: name another --pixels")
    return PixelRoll(model, engine, find_model(edges, ["edges"]) if edges else None)
