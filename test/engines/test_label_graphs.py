"""The graphs of the label-map networks on every engine, held against the networks as they were trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import LABEL_SIZE, SIZE, make_model

from vidpred_ros.engines import GraphSpec, exported_file, installed_engines, open_engine
from vidpred_ros.engines.export import TIES, export
from vidpred_ros.engines.graph import load_network, make_graph, probe_inputs
from vidpred_ros.errors import ModelError
from vidpred_ros.models import ReleasedModel

#: As in tests of predictors and of `vidpred build`: they share the files.
STEPS, SAMPLES = 2, 2
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def structure(tmp_path_factory: pytest.TempPathFactory) -> ReleasedModel:
    return ReleasedModel(make_model(tmp_path_factory.mktemp("structure"), "tiny_structure", "structure"))


def probes(model: ReleasedModel, kind: str, samples: int = 1) -> Arrays:
    graph = make_graph(model, GraphSpec(kind, STEPS, samples))
    names = graph.inputs(model.card.size)
    return {n: t.numpy() for n, t in zip(names, probe_inputs(graph, model.card.size, seed=5), strict=True)}


def run(model: ReleasedModel, engine: str, kind: str, arrays: Arrays, samples: int = 1, steps: int = STEPS) -> Arrays:
    opened = open_engine(model, engine, kind, steps, "fp32", samples)
    results = opened.infer(arrays)
    shapes = {name: value.shape for name, value in results.items()}
    assert shapes == opened.outputs
    opened.close()
    return results


def logits_of(model: ReleasedModel, arrays: Arrays) -> torch.Tensor:
    """(N, K, C, H, W) of the network itself, a whole window for each sample."""
    noise = torch.from_numpy(arrays["noise"])
    window = {n: torch.from_numpy(a)[None].expand(len(noise), *a.shape) for n, a in arrays.items() if n != "noise"}
    flows = window["flows"].permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        return load_network(model)(window["maps"], window["moved"], flows, STEPS, noise)


@pytest.mark.parametrize("engine", installed_engines())
def test_the_whole_window(structure: ReleasedModel, engine: str) -> None:
    arrays = probes(structure, "structure", SAMPLES)
    p = logits_of(structure, arrays).softmax(dim=2).numpy()
    mean = p.mean(axis=0)
    got = run(structure, engine, "structure", arrays, SAMPLES)
    assert got["samples"].dtype == got["labels"].dtype == np.uint8
    assert got["samples"].shape == (SAMPLES, STEPS, *LABEL_SIZE) and got["occupancy"].shape == (3, *LABEL_SIZE)
    assert (got["samples"] != p.argmax(axis=2)).mean() <= TIES
    assert (got["labels"] != mean.argmax(axis=1)).mean() <= TIES
    assert (got["samples"][0] != got["samples"][1]).mean() > 0.01, "noise matters"
    expected = {
        "confidence": mean.max(axis=1),
        "entropy": -(mean * np.log(mean)).sum(axis=1),
        "occupancy": p.max(axis=1)[:, [11, 12, 13]].mean(axis=0),  # person, rider, car
    }
    for name, values in expected.items():
        assert got[name].dtype == np.float32
        assert (np.abs(got[name] - values) > 1e-3).mean() <= TIES, name


@pytest.mark.parametrize("engine", installed_engines())
def test_both_halves_are_the_whole(structure: ReleasedModel, engine: str) -> None:
    arrays = probes(structure, "structure", SAMPLES)
    labels, moved, flows = arrays["maps"], arrays["moved"], arrays["flows"]
    context = len(labels)
    encodings = [
        run(structure, engine, "encode", {"maps": labels[i, None], "moved": moved[i, None], "flows": flows[i, None]}, steps=1)
        for i in range(context)
    ]
    inputs = {name: value for name, value in encodings[-1].items() if name != "code"}
    inputs |= {"codes": np.concatenate([e["code"] for e in encodings]), "noise": arrays["noise"]}
    inputs |= {"moved": moved[context - 1 :], "flows": flows[-1:]}
    whole = run(structure, engine, "structure", arrays, SAMPLES)
    halves = run(structure, engine, "forecast", inputs, SAMPLES)
    assert whole.keys() == halves.keys()
    for name, values in whole.items():
        assert (np.abs(halves[name].astype(np.float32) - values) > 1e-3).mean() <= TIES, name


@pytest.mark.parametrize("settings", [{}, {"form": "lstm"}, {"form": "cnn"}, {"space": "soft"}, {"motion_prior": "none"}], ids=str)
def test_steps_are_the_whole(tmp_path: Path, settings: dict[str, str]) -> None:
    """One step at a time, states handed on from outside, makes what the network makes of the window."""
    model = ReleasedModel(make_model(tmp_path, "stepwise", "structure", **settings))
    config = model.card.network
    arrays = probes(model, "structure")
    whole = run(model, "torch", "structure", arrays)["samples"][0]
    engine = open_engine(model, "torch", "step", 1)
    states = {name: np.zeros(shape, np.float32) for name, shape in engine.inputs.items() if name.startswith("state")}
    maps = arrays["maps"][:, None]
    if config.space == "soft":
        maps = (maps[:, :, None] == np.arange(config.classes)[:, None, None]).astype(np.float32)
    made = None
    for i in range(config.context - 1 + STEPS):
        k = i - config.context + 1
        inputs = {"last": maps[i] if k <= 0 else made["next"]} | states
        if config.needs_flows:
            inputs |= {"moved": arrays["moved"][i, None], "flows": arrays["flows"][min(i, config.context - 1), None]}
        if config.noise_channels:
            inputs["noise"] = arrays["noise"][:, k] if k >= 0 else np.zeros((1, *config.noise_shape), np.float32)
        made = engine.infer(inputs)
        states = {f"state_{j}": made[f"new_{j}"] for j in range(len(states))}
        if k >= 0:
            assert (made["labels"][0] != whole[k]).mean() <= TIES


def test_a_step_exports(structure: ReleasedModel) -> None:
    exported_file(structure, GraphSpec("step", STEPS, SAMPLES))


@pytest.mark.parametrize("kind,graph", [("segmenter", "segment"), ("s2s", "structure"), ("edges", "edges"), ("pixels", "pixels")])
def test_the_other_kinds_export(kind: str, graph: str, tmp_path: Path) -> None:
    pytest.importorskip(f"vidpred_ros.networks.{kind}")
    model = ReleasedModel(make_model(tmp_path, kind, kind))
    assert export(model, GraphSpec(graph), tmp_path / "it.onnx").keys() == set(installed_engines()) - {"torch"}


def test_the_motion_that_a_frame_predictor_foretells(tiny_model: Path) -> None:
    model = ReleasedModel(tiny_model)
    arrays = probes(model, "motion")
    with torch.no_grad():
        frames, flows = (torch.from_numpy(arrays[name]).permute(0, 3, 1, 2)[None] for name in ("frames", "flows"))
        expected = load_network(model).motions(frames / 255, flows, [1, 2])[0].permute(0, 2, 3, 1).numpy()
    got = run(model, "openvino", "motion", arrays)["motions"]
    assert got.shape == (STEPS, *SIZE, 2) and np.abs(got - expected).max() < 1e-2  # pixels


def test_frames_in_and_out(tmp_path: Path) -> None:
    """The ablation that predicts RGB is a network of frames like the papers' others."""
    model = ReleasedModel(make_model(tmp_path, "rgb", "structure", space="rgb", motion_prior="none"))
    arrays = probes(model, "whole", SAMPLES)
    window = torch.from_numpy(arrays["frames"]).permute(0, 3, 1, 2)[None].expand(SAMPLES, -1, -1, -1, -1) / 255
    with torch.no_grad():
        expected = load_network(model)(window, None, None, STEPS, torch.from_numpy(arrays["noise"]))
    got = run(model, "onnxruntime", "whole", arrays, SAMPLES)["futures"]
    apart = np.abs(got - np.floor(expected.permute(0, 1, 3, 4, 2).numpy() * 255 + 0.5))
    assert got.dtype == np.uint8 and apart.max() <= 1 and apart.mean() < 0.01
    export(model, GraphSpec("step"), tmp_path / "step.onnx")


def test_a_graph_that_a_network_has_not_is_named(structure: ReleasedModel, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="has no graph 'whole'; it has: structure, encode, forecast, step"):
        make_graph(structure, GraphSpec("whole"))
    with pytest.raises(ModelError, match="has no graph 'encode'; it has: whole, stream, motion"):
        make_graph(ReleasedModel(tiny_model), GraphSpec("encode"))
