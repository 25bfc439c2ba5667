"""torch in half precision, and as a CUDA graph where there is a GPU."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from helpers.models import make_model
from torch import nn

from vidpred_ros.engines import open_engine, torch_engine
from vidpred_ros.engines.base import Arrays, GraphSpec, graphs_of
from vidpred_ros.engines.choice import Gpu
from vidpred_ros.engines.graph import make_graph, probe_inputs
from vidpred_ros.engines.torch_engine import TorchEngine
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.networks.config import LABEL_KINDS

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


@pytest.mark.parametrize("kind", ["hierarchical", "multiscale", "stochastic"])
def test_weights_of_convolutions_are_cast_once(kind: str, tmp_path: Path) -> None:
    """What each pass casts is what comes in, and the numbers are those of autocast by itself."""
    model = ReleasedModel(make_model(tmp_path, kind=kind))
    spec = GraphSpec("whole", 1, 2 if kind == "stochastic" else 1)
    engine = TorchEngine(model, spec, "bf16")
    cast = {name.rpartition(".")[0] for name, weight in engine._graph.named_parameters() if weight.dtype == torch.bfloat16}
    assert cast == {name for name, layer in engine._graph.named_modules() if isinstance(layer, nn.modules.conv._ConvNd)} != set()
    graph = make_graph(model, spec)
    tensors = probe_inputs(graph, model.card.size)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = graph(*tensors)
    arrays = {name: tensor.numpy() for name, tensor in zip(engine.inputs, tensors, strict=True)}
    assert np.array_equal(engine.infer(arrays)["futures"], expected.numpy())


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_networks_of_label_maps_have_their_ports_in_half_precision(kind: str, tmp_path: Path) -> None:
    model = ReleasedModel(make_model(tmp_path, kind=kind))
    samples = 2 if model.card.network.noise_channels else 1
    for name in graphs_of(model.card.network):
        whole, half = (TorchEngine(model, GraphSpec(name, 1, samples), precision) for precision in ("fp32", "bf16"))
        assert (half.inputs, half.outputs, half.dtypes) == (whole.inputs, whole.outputs, whole.dtypes)


def test_an_encoder_runs_once_in_a_pass(tmp_path: Path) -> None:
    """Not once more to know how many outputs it has."""
    engine, calls = TorchEngine(ReleasedModel(make_model(tmp_path, kind="structure")), GraphSpec("encode"), "fp32"), []
    engine._graph.network.encoder.register_forward_hook(lambda *_: calls.append(1))
    engine.infer({name: np.zeros(shape, engine.dtypes[name]) for name, shape in engine.inputs.items()})
    assert len(calls) == 1


def test_float32_on_a_gpu_is_no_tf32() -> None:
    before = torch.backends.cudnn.allow_tf32
    with torch_engine.computing_in("fp32", "cuda"):
        assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.enabled
    assert torch.backends.cudnn.allow_tf32 == before
    with torch_engine.computing_in("fp16", "cpu"):
        assert torch.is_autocast_enabled("cpu") and torch.backends.cudnn.allow_tf32 == before


def test_a_closed_engine_says_so(model: ReleasedModel, inputs: Arrays) -> None:
    engine = TorchEngine(model, SPEC, "fp32")
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="torch: it is closed"):
        engine.infer(inputs)


def test_a_torch_that_does_not_reach_the_gpu_gives_way(
    model: ReleasedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its CUDA is newer than the driver: eager and in float32 it would be the slowest of all."""
    gpu = Gpu("Orin", "8.7", 29.9, "12.6")
    monkeypatch.setattr("vidpred_ros.engines.choice._ask_driver", lambda: gpu)
    for module in ("vidpred_ros.engines", "vidpred_ros.engines.choice"):
        monkeypatch.setattr(f"{module}.torch_on_gpu", lambda: True)
    monkeypatch.setattr("vidpred_ros.engines.choice.installed", lambda name: name in ("torch", "openvino"))
    monkeypatch.setattr("vidpred_ros.engines.open_file", lambda *_: TorchEngine(model, SPEC, "fp32"))
    monkeypatch.setattr("vidpred_ros.engines.exported_file", lambda *_: Path("a file"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    open_engine(model, steps=2)
    assert "engine torch cannot run tiny (stream) and openvino takes its place: torch does not reach the GPU: " in caplog.text
    with pytest.raises(EngineError, match=r"built for CUDA .*, and the driver runs CUDA 12.6 and older"):
        open_engine(model, "torch", steps=2)
    assert open_engine(model, "torch", steps=2, precision="fp32").name == "torch"


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
