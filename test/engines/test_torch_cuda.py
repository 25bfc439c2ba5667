"""torch in half precision, and as a CUDA graph where there is a GPU."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from vidpred_ros.engines import torch_engine
from vidpred_ros.engines.base import Arrays, GraphSpec
from vidpred_ros.engines.graph import make_graph, probe_inputs
from vidpred_ros.engines.torch_engine import TorchEngine
from vidpred_ros.models import ReleasedModel

SPEC = GraphSpec("stream", 2)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> ReleasedModel:
    return ReleasedModel(tiny_model)


@pytest.fixture(scope="module")
def inputs(model: ReleasedModel) -> Arrays:
    graph, size = make_graph(model, SPEC), model.card.size
    return {name: tensor.numpy() for name, tensor in zip(graph.inputs(size), probe_inputs(graph, size), strict=True)}


def test_half_precision_keeps_its_ports_and_is_close(model: ReleasedModel, inputs: Arrays) -> None:
    whole, half = TorchEngine(model, SPEC, "fp32"), TorchEngine(model, SPEC, "bf16")
    assert (whole.precision, half.precision) == ("fp32", "bf16")
    assert (half.inputs, half.outputs, half.dtypes) == (whole.inputs, whole.outputs, whole.dtypes)
    expected, got = whole.infer(inputs), half.infer(inputs)
    assert all(got[name].dtype == expected[name].dtype for name in expected)
    apart = np.abs(got["futures"].astype(int) - expected["futures"])
    assert 0 < apart.mean() < 4, "another precision, and the same network"
    assert half.stream().push({name: inputs[name] for name in ("frames", "flows")})["futures"].dtype == np.uint8


def test_a_pass_that_cannot_be_recorded_runs_without_a_graph(
    model: ReleasedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(run: object, zeros: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch_engine, "RecordedPass", refuse)
    with caplog.at_level(logging.WARNING):
        engine = TorchEngine(model, SPEC)
        assert engine._record({}) is None and not engine.captured
    assert "without a CUDA graph, which is slower: operation not permitted" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_recorded_pass_gives_what_the_eager_one_gives(model: ReleasedModel, inputs: Arrays, precision: str) -> None:
    engine = TorchEngine(model, SPEC, precision)
    assert engine.captured
    assert TorchEngine(model, SPEC, on_gpu=False).device.type == "cpu"
    for scale in (1.0, 0.5):
        arrays = {name: (array * scale).astype(array.dtype) for name, array in inputs.items()}
        with torch.inference_mode():
            expected = engine._eager(arrays)
        got = engine.infer(arrays)
        assert all(np.allclose(got[name], expected[name], atol=1e-2) for name in expected)
