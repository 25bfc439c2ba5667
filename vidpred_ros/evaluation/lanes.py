"""From names to a structure lane: which models predict label maps, and what they need."""

from __future__ import annotations

from pathlib import Path

from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.label_trials import Origin, StructureLane
from vidpred_ros.models import find_model
from vidpred_ros.networks.config import FORECAST_KINDS, STRUCTURE_KINDS
from vidpred_ros.predictors import BASELINES
from vidpred_ros.predictors.structure import label_size, make_structure
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
) -> StructureLane:
    """A structure model and a segmenter by name, folder or .onnx file, on an engine (None: the best one here).

    ``samples``: score the best of so many drawn futures too; ``period_s`` None: the model's own. Raises ModelError,
    EngineError or ConfigError as ``make_structure`` and ``make_segmenter`` do.
    """
    eyes = make_segmenter(segmenter, engine, class_table, label_size(model))
    predictor = make_structure(model, eyes, engine, steps, samples or SAMPLES)
    if samples > predictor.samples:
        raise ConfigError(f"--samples {samples}: {predictor.model_id} is not stochastic, its forecasts are all the same")
    (height, width), (rows, columns) = eyes.size, predictor.label_size
    if height * columns != width * rows:
        raise ConfigError(
            f"{eyes.name} sees {width}x{height} and {predictor.model_id} predicts {columns}x{rows}: the shapes differ, so their "
            "label maps would be of different parts of the picture; choose another segmenter"
        )
    if period_s is not None:
        predictor.period_s = period_s
    return StructureLane(predictor, eyes, context, samples)
