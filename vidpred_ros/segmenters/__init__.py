"""From frames to label maps: `make_segmenter("segmenter_lite0")`, or an ONNX network of one's own with a table of its classes."""

from __future__ import annotations

from math import gcd, lcm
from pathlib import Path

from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.models import find_model, list_models, model_folder
from vidpred_ros.segmenters.base import Segmenter

__all__ = ["Segmenter", "make_segmenter"]

#: A released segmenter halves its frame so often that both sides are to be multiples of this.
STRIDE = 32


def make_segmenter(
    text: str, engine: EngineLike = None, class_table: Path | None = None, label_size: tuple[int, int] | None = None
) -> Segmenter:
    """A released segmenter by its name or folder, or ``path/to/network.onnx`` with its class table (a YAML, see onnx.py).

    ``label_size`` (height, width) of the maps that a structure model predicts: a released segmenter, which is convolutional,
    sees frames of their aspect; an .onnx file keeps its own. ``engine`` None takes the best that is installed. Raises
    ConfigError for a table that is missing or does not fit, ModelError for what is no segmenter, EngineError when the engine
    cannot run it.
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
    if label_size is not None:
        model = model.at(frame_size(model.card.size, label_size))
    return Released(model, engine)


def frame_size(own: tuple[int, int], label_size: tuple[int, int]) -> tuple[int, int]:
    """The size (height, width) of frames that have the aspect of label maps, as near in height to ``own`` as ``STRIDE`` lets it."""
    rows, columns = label_size
    if own[0] * columns == own[1] * rows:
        return own
    least = lcm(*(STRIDE // gcd(STRIDE, side) for side in label_size))  # the smallest multiple that STRIDE divides
    times = least * max(1, round(own[0] / (least * rows)))
    return times * rows, times * columns
