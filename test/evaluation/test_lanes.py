"""From names to a structure lane: the segmenter and the label maps show the same part of the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.models import make_model
from onnx import TensorProto, helper, save

from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.label_trials import label_replay
from vidpred_ros.evaluation.lanes import open_lane
from vidpred_ros.sources import open_source


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps of 32x32 pixels; the segmenters' frames are twice as wide as high."""
    return make_model(tmp_path_factory.mktemp("models"), "square", "structure", size=(32, 32), motion_prior="none")


def test_a_released_segmenter_sees_what_the_model_predicts(square: Path, tmp_path: Path) -> None:
    segmenter = make_model(tmp_path, "tiny_segmenter", "segmenter")
    lane = open_lane(str(square), str(segmenter), "torch", 2)
    assert lane.segmenter.size == lane.predictor.size == (64, 64)
    trial = next(label_replay(open_source("synthetic:seed=1,seconds=1.5,width=96,height=64"), lane, "segmenter"))
    assert trial.window.frames[0].shape == (64, 64, 3)
    assert trial.predicted.shape == (2, 32, 32)
    lane.close()


@pytest.mark.parametrize(("settings", "what"), [({}, "64x32 and 19 classes"), ({"classes": 8}, "64x32 and 8 classes")])
def test_a_pixel_generator_paints_what_the_model_predicts(
    square: Path, tmp_path: Path, settings: dict[str, int], what: str
) -> None:
    pixels = make_model(tmp_path, "painter", "pixels", **settings)
    with pytest.raises(ConfigError, match=f"painter paints label maps of {what}, square predicts 32x32 and 19 classes"):
        open_lane(str(square), "segmenter_lite0", "torch", 2, pixels=str(pixels))


def test_a_network_of_the_users_own_has_its_own_shape(square: Path, tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 64]) for name in ("image", "out")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["out"])], "net", ports[:1], ports[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "wide.onnx")
    (tmp_path / "table.yaml").write_text("classes: {0: road, 1: car, 2: sky}")
    with pytest.raises(ConfigError, match="wide sees 64x32 and square predicts 32x32.*choose another segmenter"):
        open_lane(str(square), str(tmp_path / "wide.onnx"), "torch", 2, class_table=tmp_path / "table.yaml")
