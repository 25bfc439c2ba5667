"""From frames to label maps: `make_segmenter("segmenter_lite0")`, or an ONNX network of one's own with a table of its classes."""

from __future__ import annotations

from pathlib import Path

from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.models import find_model, list_models, model_folder
from vidpred_ros.segmenters.base import Segmenter

__all__ = ["Segmenter", "make_segmenter"]


def make_segmenter(text: str, engine: EngineLike = None, class_table: Path | None = None) -> Segmenter:
    """A released segmenter by its name or folder, or ``path/to/network.onnx`` with its class table (a YAML, see onnx.py).

    ``engine`` None takes the best that is installed. Raises ConfigError for a table that is missing or does not fit,
    ModelError for what is no segmenter, EngineError when the engine cannot run it.
    """
    if text.endswith(".onnx"):
        from vidpred_ros.segmenters.onnx import OnnxSegmenter

        if class_table is None:
            raise ConfigError(
                f"{text} is a network of your own: give the class table (YAML) that says what its ids mean, for instance "
                '"classes: {0: road, 1: car}"'
            )
        return OnnxSegmenter(Path(text), class_table, engine)
    from vidpred_ros.segmenters.released import Released

    if model_folder(text) is None:
        released = [model.id for model in list_models() if model.card.network.kind == "segmenter"]
        raise ModelError(
            f"no segmenter {text!r}: neither a folder nor one of the released ones ({', '.join(released) or 'none found'}), nor an "
            ".onnx file, a network of your own"
        )
    model = find_model(text)
    if model.card.network.kind != "segmenter":
        raise ModelError(f"model {model.id} is no segmenter but a {model.card.network.kind} network")
    if class_table is not None:
        raise ConfigError(f"class table {class_table}: the released segmenter {model.id} has Cityscapes' classes; leave the table out")
    return Released(model, engine)
