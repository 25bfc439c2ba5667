"""Released segmenters: the network's own arg-max on every engine, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import SEGMENTER_SIZE, make_model
from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ConfigError, EngineError, ModelError
from vidpred_ros.models import find_model
from vidpred_ros.segmenters import STRIDE, frame_size, make_segmenter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models"), "tiny_segmenter", "segmenter")


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_labels_are_the_networks_arg_max(model: Path, engine: str) -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (8, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with torch.no_grad():
        logits = load_network(find_model(str(model)))(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255)
    segmenter = make_segmenter(str(model), engine)
    found = segmenter.segment(frame)
    assert (segmenter.name, segmenter.size, found.shape) == ("tiny_segmenter", SEGMENTER_SIZE, SEGMENTER_SIZE)
    assert found.dtype == np.uint8
    assert (found == logits[0].argmax(0).numpy()).mean() > (0.9 if "bf16" in segmenter.engine else 0.999)
    segmenter.close()


def test_it_sees_frames_of_the_label_maps_aspect(model: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    with torch.no_grad():
        logits = load_network(find_model(str(model)))(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255)
    segmenter = make_segmenter(str(model), "torch", label_size=(32, 32))
    assert segmenter.size == (64, 64)
    assert (segmenter.segment(frame) == logits[0].argmax(0).numpy()).mean() > 0.999
    segmenter.close()


SIDES = st.integers(1, 60).map(lambda n: 8 * n)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_frame_sizes(own: tuple[int, int], labels: tuple[int, int]) -> None:
    height, width = frame_size(own, labels)
    assert height * labels[1] == width * labels[0]
    if own[0] * labels[1] == own[1] * labels[0]:
        assert (height, width) == own
        return
    fits = [m for m in range(1, 200) if m * labels[0] % STRIDE == 0 and m * labels[1] % STRIDE == 0]
    assert abs(height - own[0]) == min(abs(m * labels[0] - own[0]) for m in fits)


def test_what_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave the table out"):
        make_segmenter(str(model), None, tmp_path / "table.yaml")
    other = make_model(tmp_path, "tiny_structure", "structure")
    with pytest.raises(ModelError, match="tiny_structure is no segmenter but a structure network"):
        make_segmenter(str(other))
    with pytest.raises(ModelError, match="no segmenter 'nowhere'.*an .onnx file"):
        make_segmenter("nowhere")


def test_a_frame_of_another_size(model: Path) -> None:
    with pytest.raises(EngineError, match=r"\(1, 64, 64, 3\)"):
        make_segmenter(str(model), "torch").segment(np.zeros((64, 64, 3), np.uint8))
