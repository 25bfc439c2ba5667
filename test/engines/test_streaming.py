"""Rings of states against a list for each camera."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.models import SIZE, make_model
from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.engines import GraphSpec, exported_file, open_engine, open_file
from vidpred_ros.engines.precision import retype
from vidpred_ros.engines.streaming import HostStream, states_alone
from vidpred_ros.models import ReleasedModel

CAMERAS, DELAYS = 3, {"near": 1, "middle": 2, "far": 4}


class Recorder:
    """An engine whose every state is the number that its camera was given; it notes what came back."""

    def __init__(self, *wanted: str) -> None:
        self.metadata = {"vidpred.delays": json.dumps(DELAYS)}
        self.inputs = {f"past_{name}": (CAMERAS, 2) for name in wanted}
        self.dtypes = {port: np.dtype(np.float32) for port in self.inputs}

    def infer(self, arrays: Mapping[str, np.ndarray], into: Mapping[str, np.ndarray]) -> dict[str, Any]:
        assert arrays.keys() == {"number", *self.inputs}
        self.seen = {port.removeprefix("past_"): arrays[port][:, 0].copy() for port in self.inputs}
        for array in into.values():
            array[:] = arrays["number"][:, None]
        return {"futures": arrays["number"] + 1, **into}


passes = st.lists(st.tuples(st.lists(st.booleans(), min_size=CAMERAS, max_size=CAMERAS), st.integers(-6, CAMERAS)), max_size=30)


@given(passes)
def test_each_state_comes_back_after_its_delay(script: list[tuple[list[bool], int]]) -> None:
    """Cameras come and go and are cleared (number >= 0; CAMERAS: all of them) as a script says."""
    engine = Recorder(*DELAYS)
    stream = HostStream(engine)  # type: ignore[arg-type] - it needs no more of an engine
    lists: list[list[int]] = [[] for _ in range(CAMERAS)]
    for number, (present, cleared) in enumerate(script, start=1):
        if cleared >= 0:
            stream.clear(None if cleared == CAMERAS else cleared)
            for camera in range(CAMERAS) if cleared == CAMERAS else [cleared]:
                lists[camera] = []
        results = stream.push({"number": np.full(CAMERAS, number, np.float32)}, np.array(present))
        assert results.keys() == {"futures"} and (results["futures"] == number + 1).all()
        for camera in np.flatnonzero(present):
            past = lists[camera]
            for name, delay in DELAYS.items():
                assert engine.seen[name][camera] == (past[-delay] if len(past) >= delay else 0)
            past.append(number)


@given(st.lists(st.booleans(), max_size=30))
def test_frames_without_a_forecast_leave_the_same_states(script: list[bool]) -> None:
    """As a script says, a frame is pushed or taken in by an engine that has no use for the oldest states."""
    whole, short = Recorder(*DELAYS), Recorder("near", "middle")
    stream = HostStream(whole, short)  # type: ignore[arg-type] - it needs no more of an engine
    for number, pushed in enumerate(script, start=1):
        (stream.push if pushed else stream.advance)({"number": np.full(CAMERAS, number, np.float32)})
        for name, seen in (whole if pushed else short).seen.items():
            assert (seen == max(0, number - DELAYS[name])).all()


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_a_batch_of_cameras_says_what_each_alone_says(tiny_model: Path, engine: str) -> None:
    """Three cameras as one batch, of which one is away at times and one begins anew."""
    random, model = np.random.default_rng(2), ReleasedModel(tiny_model)
    single, batch = (open_engine(model, engine, "stream", 2, "fp32", batch=cameras) for cameras in (1, CAMERAS))
    assert batch.inputs["frames"] == (CAMERAS, 2, *SIZE, 3) and batch.outputs["futures"] == (CAMERAS, 2, *SIZE, 3)
    alone, together = [single.stream() for _ in range(CAMERAS)], batch.stream()
    for number in range(14):
        frames = random.integers(0, 256, (CAMERAS, 2, *SIZE, 3), np.uint8)
        flows = random.normal(0, 2, batch.inputs["flows"]).astype(np.float32)
        present = np.array([True, number % 3 != 1, number < 11])
        if number == 7:
            alone[0].clear()
            together.clear(0)
        futures = together.push({"frames": frames, "flows": flows}, present)["futures"]
        for camera in np.flatnonzero(present):
            expected = alone[camera].push({"frames": frames[camera], "flows": flows[camera]})["futures"]
            apart = np.abs(futures[camera].astype(int) - expected)
            assert apart.max() <= 1 and apart.mean() < 0.01
    single.close()
    batch.close()


NO_FLOW = {"head": "pixels", "motion_prior": "none", "sway": False, "steady": False}
PARTS = [("openvino", "fp32", {}), ("openvino", "bf16", NO_FLOW), ("openvino", "int8", {}), ("onnxruntime", "fp32", NO_FLOW), ("onnxruntime", "int8", {})]


@pytest.mark.parametrize(("name", "precision", "settings"), PARTS)
def test_the_part_of_a_graph_that_makes_its_states(tmp_path: Path, name: str, precision: str, settings: dict[str, Any]) -> None:
    """A stream with a forecast of each fourth frame has the same ones as a stream that makes all."""
    file = exported_file(ReleasedModel(make_model(tmp_path, **settings)), GraphSpec(steps=2))
    whole = onnx.load(file)
    if precision == "int8":
        ranges = {node.input[1]: 4.0 for node in whole.graph.node if node.op_type == "Conv" and "head" not in node.input[1]}
        whole, file = retype(whole, "uint8", ranges), tmp_path / "int8.onnx"
        onnx.save(whole, file)
    part, engine = onnx.ModelProto.FromString(states_alone(file)), open_file(name, file, precision)
    onnx.checker.check_model(part)
    assert [port.name for port in part.graph.output] == [port.name for port in whole.graph.output if port.name != "futures"]
    unused = {port.name for port in whole.graph.input} - {port.name for port in part.graph.input}
    assert unused == {f"past_state_{level}_2" for level in range(4)}, "the last lateral blocks are not there"
    assert part.ByteSize() < 0.7 * whole.ByteSize()

    random, every, some = np.random.default_rng(4), engine.stream(), engine.stream()
    for number in range(16):
        arrays = {"frames": random.integers(0, 256, (2, *SIZE, 3), np.uint8)}
        if "flows" in engine.inputs:
            arrays["flows"] = random.normal(0, 2, engine.inputs["flows"]).astype(np.float32)
        futures = every.push(arrays)["futures"].astype(int)
        if number % 4 < 3:
            some.advance(arrays)
        else:
            apart = np.abs(some.push(arrays)["futures"] - futures)
            assert apart.max() <= (1 if precision == "fp32" else 8) and apart.mean() < 0.01
    engine.close()


def test_states_are_written_where_they_stay(tiny_model: Path) -> None:
    """The arrays of ``into`` are those that come back, filled."""
    for name in ("torch", "openvino", "onnxruntime"):
        engine = open_engine(ReleasedModel(tiny_model), name, "stream", 2, "fp32")
        zeros = {port: np.zeros(shape, engine.dtypes[port]) for port, shape in engine.inputs.items()}
        zeros["frames"] += 100
        fresh = engine.infer(zeros)
        into = {port: np.full(shape, 7, engine.dtypes[port]) for port, shape in engine.outputs.items() if port != "futures"}
        results = engine.infer(zeros, into)
        assert all(results[port] is array and np.array_equal(array, fresh[port]) for port, array in into.items())
        again = engine.infer(zeros)
        assert all(np.array_equal(again[port], fresh[port]) for port in fresh)
        assert not any(np.shares_memory(again[port], array) for port, array in into.items())
        engine.close()
