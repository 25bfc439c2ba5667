from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from helpers.models import SIZE, make_model

from vidpred_ros import engines
from vidpred_ros.engines import (
    GraphSpec,
    cached_file,
    export_apart,  # as it is: tests have another in its place (conftest.py)
    exported_file,
    installed_engines,
    open_engine,
    open_file,
)
from vidpred_ros.engines.export import export
from vidpred_ros.engines.graph import load_network, make_graph, probe_inputs
from vidpred_ros.errors import EngineError, ModelError
from vidpred_ros.models import CARD, ReleasedModel, read_card
from vidpred_ros.networks.config import STEADY_FLOWS

ONNX_ENGINES = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> ReleasedModel:
    return ReleasedModel(tiny_model)


def arrays(model: ReleasedModel, kind: str, steps: int) -> dict[str, np.ndarray]:
    graph = make_graph(model, GraphSpec(kind, steps))
    names = graph.inputs(model.card.size)
    return {n: t.numpy() for n, t in zip(names, probe_inputs(graph, model.card.size, seed=5), strict=True)}


def assert_same_pictures(got: np.ndarray, expected: torch.Tensor) -> None:
    """Bytes (..., H, W, 3) of floats (..., 3, H, W) that a runtime computed a little differently: rarely one off."""
    wanted = np.floor(expected.movedim(-3, -1).numpy() * 255 + 0.5)
    assert got.dtype == np.uint8 and got.shape == wanted.shape
    apart = np.abs(got - wanted)
    assert apart.max() <= 1 and apart.mean() < 0.01


def test_a_process_of_its_own_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, spec = ReleasedModel(make_model(tmp_path, "edges", "edges")), GraphSpec("edges")
    here = exported_file(model, spec)
    monkeypatch.setattr(engines, "export_apart", export_apart)
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    apart = exported_file(model, spec)
    assert apart != here and apart.is_file()
    assert open_file("onnxruntime", apart).metadata == open_file("onnxruntime", here).metadata


@pytest.mark.parametrize("name", ONNX_ENGINES)
@pytest.mark.parametrize("kind", ["stream", "whole"])
def test_engines_agree_with_the_unfolded_network(model: ReleasedModel, name: str, kind: str) -> None:
    """The reference keeps its batch norms and never went through an export."""
    inputs = arrays(model, kind, 2)
    network = load_network(model)
    images = {n: torch.from_numpy(a) for n, a in inputs.items()}
    with torch.no_grad():
        if kind == "whole":
            frames = images["frames"].permute(0, 3, 1, 2)[None] / 255
            expected = network(frames, images["flows"].permute(0, 3, 1, 2)[None], [1, 2])
        else:
            past = {n: images[f"past_{n}"].permute(0, 3, 1, 2) for n in network.state_delays()}
            frames, flows = images["frames"].permute(0, 3, 1, 2)[None] / 255, images["flows"].permute(0, 3, 1, 2)[None]
            expected, kept = network.step(frames, flows, past, [1, 2])
    engine = open_engine(model, name, kind, 2, precision="fp32")
    got = engine.infer(inputs)
    engine.close()
    assert_same_pictures(got["futures"], expected[0])
    if kind == "stream":
        assert all(np.abs(got[n] - kept[n].permute(0, 2, 3, 1).numpy()).max() < 1e-3 for n in kept)


@pytest.mark.parametrize("kind,samples", [("multiscale", 1), ("stochastic", 2)])
def test_every_kind_of_network_runs_on_every_engine(kind: str, samples: int, tmp_path: Path) -> None:
    """Against the network as it was trained: its batch norms, and a whole window for each sample."""
    model = ReleasedModel(make_model(tmp_path, kind, kind))
    graph = make_graph(model, GraphSpec("whole", 2, samples))
    inputs = dict(zip(graph.inputs(SIZE), probe_inputs(graph, SIZE, seed=5), strict=True))
    frames = (inputs["frames"].permute(0, 3, 1, 2)[None] / 255).expand(samples, -1, -1, -1, -1)
    with torch.no_grad():
        expected = load_network(model)(frames, None, [1, 2], inputs.get("noise"))
    assert samples == 1 or (expected[0] - expected[1]).abs().max() > 0.01, "noise matters"
    path = cached_file(model, GraphSpec("whole", 2, samples))
    assert export(model, GraphSpec("whole", 2, samples), path).keys() == set(installed_engines()) - {"torch"}
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(path).graph.node}
    for name in installed_engines():
        engine = open_engine(model, name, "whole", 2, "fp32", samples)
        got = engine.infer({n: tensor.numpy() for n, tensor in inputs.items()})["futures"]
        engine.close()
        engine.close()  # a node that fails while it shuts down does it twice
        assert_same_pictures(got, expected[0] if samples == 1 else expected)
    if kind == "stochastic":
        assert cached_file(model, GraphSpec("whole", 2)) != path
        cached_file(model, GraphSpec("whole", 2)).write_bytes(path.read_bytes())
        with pytest.raises(EngineError, match=r"something else \(vidpred\.samples differ\)"):
            open_engine(model, "onnxruntime", "whole", 2, samples=1)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    wide, narrow = make_model(tmp_path, "wide", "multiscale"), make_model(tmp_path, "narrow", "multiscale", inputs=8)
    card = yaml.safe_load((wide / CARD).read_text())
    (wide / CARD).write_text(yaml.safe_dump(card | {"network": read_card(narrow).network.model_dump()}))
    with pytest.raises(ModelError, match=r"wide/weights.safetensors: not the weights of MultiScale.* do not fit"):
        load_network(ReleasedModel(wide))
    card["network"] = {"kind": "stochastic", "size": list(SIZE)}
    (wide / CARD).write_text(yaml.safe_dump(card))
    with pytest.raises(ModelError, match=r"not the weights of Stochastic.* and \d+ more do not fit"):
        load_network(ReleasedModel(wide))


def test_a_graph_that_a_model_has_not_is_refused(model: ReleasedModel) -> None:
    with pytest.raises(ModelError, match="predicts 1 to 5 steps, not 6"):
        make_graph(model, GraphSpec("whole", 6))
    with pytest.raises(ModelError, match="one future only, not 2 samples"):
        make_graph(model, GraphSpec("whole", 1, samples=2))


def test_names_shapes_and_metadata_come_from_the_file(model: ReleasedModel) -> None:
    path = exported_file(model, GraphSpec("stream", 2))
    for name in ONNX_ENGINES:
        engine = open_file(name, path)
        assert engine.inputs["frames"] == (2, *SIZE, 3) and engine.inputs["flows"] == (STEADY_FLOWS, *SIZE, 2)
        assert engine.outputs["futures"] == (2, *SIZE, 3)
        assert engine.metadata["vidpred.weights_sha256"] == model.card.weights_sha256
        assert set(json.loads(engine.metadata["vidpred.delays"]).values()) == {1, 2, 4}
        with pytest.raises(EngineError, match="expected"):
            engine.infer({})
        inputs = arrays(model, "stream", 2)
        inputs["frames"] = inputs["frames"][:, :-1]
        with pytest.raises(EngineError, match="frames is"):
            engine.infer(inputs)


def test_the_exported_graph_has_no_batch_norm(model: ReleasedModel) -> None:
    graph = onnx.load(exported_file(model, GraphSpec("stream", 2))).graph
    assert "Conv" in {node.op_type for node in graph.node}
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_an_export_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vidpred_ros.engines.export as module

    model = ReleasedModel(make_model(tmp_path, "pixels", "pixels"))

    def spoiled(path: str, *args: object, **kwargs: object) -> onnx.ModelProto:
        proto = onnx.ModelProto.FromString(Path(path).read_bytes())
        conv = next(node for node in proto.graph.node if node.op_type == "Conv")
        weight = next(w for w in proto.graph.initializer if w.name == conv.input[1])
        values = onnx.numpy_helper.to_array(weight) * 1.5
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return proto

    monkeypatch.setattr(module.onnx, "load", spoiled)
    with pytest.raises(EngineError, match="differs from torch"):
        export(model, GraphSpec("pixels"), tmp_path / "bad" / "bad.onnx")
    assert list((tmp_path / "bad").iterdir()) == []


def test_a_truncated_export_is_named(model: ReleasedModel, tmp_path: Path) -> None:
    whole = exported_file(model, GraphSpec("stream", 2)).read_bytes()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(whole[: len(whole) // 2])
    for name in ONNX_ENGINES:
        with pytest.raises(EngineError, match=r"broken\.onnx is no usable ONNX file"):
            open_file(name, broken)


def test_unknown_and_missing_engines(model: ReleasedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="unknown engine 'cuda'; known: tensorrt"):
        open_engine(model, "cuda")
    monkeypatch.setattr("vidpred_ros.engines.base.ENGINES", {"openvino": "no_such_module"})
    assert installed_engines() == []
    monkeypatch.setattr("vidpred_ros.engines.choice.installed", lambda module: False)
    with pytest.raises(EngineError, match="pip install openvino"):
        open_engine(model)


def test_an_export_of_another_graph_is_refused(model: ReleasedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are copied to cars by hand, so a name proves nothing."""
    path = exported_file(model, GraphSpec("stream", 2))
    monkeypatch.setattr("vidpred_ros.engines.exported_file", lambda *_: path)
    with pytest.raises(EngineError, match=r"something else \(vidpred\.steps differ\)"):
        open_engine(model, "onnxruntime", "stream", 1)


def test_weights_that_changed_are_refused_even_with_an_export(tmp_path: Path) -> None:
    model = ReleasedModel(make_model(tmp_path, "changing"))
    cached_file(model, GraphSpec("stream")).write_bytes(b"made when the weights were whole")
    data = model.weights.read_bytes()
    model.weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="truncated or changed"):
        open_engine(ReleasedModel(model.folder), "openvino", "stream", 1)


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_a_closed_engine_says_so(model: ReleasedModel, name: str) -> None:
    """And so do its streams, which run a part of the graph beside it."""
    engine, inputs = open_file(name, exported_file(model, GraphSpec("stream", 2)), "fp32"), arrays(model, "stream", 2)
    stream, frame = engine.stream(), {port: inputs[port] for port in ("frames", "flows")}
    stream.advance(frame)
    engine.close()
    for call in (lambda: engine.infer(inputs), lambda: stream.push(frame), lambda: stream.advance(frame)):
        with pytest.raises(EngineError, match=f"{name}: it is closed"):
            call()


def test_an_export_that_is_killed_says_so(model: ReleasedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system does that is short of memory: nobody gives a reason."""
    monkeypatch.setattr(engines.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, -9, "", ""))
    with pytest.raises(EngineError, match="exporting tiny failed: exit status -9"):
        export_apart(model, GraphSpec(), [], tmp_path / "file.onnx")


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_a_process_that_predicts_never_imports_torch(model: ReleasedModel, name: str) -> None:
    exported_file(model, GraphSpec("stream", 2))
    code = (
        "import sys, numpy as np\n"
        "from vidpred_ros.predictors import make_predictor\n"
        "from vidpred_ros.window import FrameWindow\n"
        f"p = make_predictor({str(model.folder)!r}, {name!r}, 2)\n"
        f"w = FrameWindow(0.1)\n"
        f"for i in range(8): w.add(1 + i * 10**8, np.full(({SIZE[0]}, {SIZE[1]}, 3), 10 * i, np.uint8))\n"
        "assert p.predict(w.window()).horizons[0].frame.shape[2] == 3\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
