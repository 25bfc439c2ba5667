"""A streaming network in the small, written as ONNX by hand, for tests of engines: ports and states like the released ones'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

DELAYS = {"near": 1, "far": 2, "farther": 4}
METADATA = {"vidpred.delays": json.dumps(DELAYS), "vidpred.model": "small"}
SIZE = (3, 5)


def small_file(path: Path, cameras: int | str = 1, states_in: int = TensorProto.FLOAT) -> Path:
    """A streaming network in the small: each of three states is the new frames' mean colour and half of what it was some passes
    before, and the futures show them all, so that they hang on all that a camera saw. ``states_in``: type of the states' ports."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["seen", "flows"], ["moved"]),
        helper.make_node("ReduceMean", ["moved", "axes"], ["mean"], keepdims=0),
    ]
    for name in DELAYS:
        nodes += [
            helper.make_node("Cast", [f"past_{name}"], [f"float_{name}"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"float_{name}", "half"], [f"old_{name}"]),
            helper.make_node("Add", ["mean", f"old_{name}"], [f"new_{name}"]),
            helper.make_node("Cast", [f"new_{name}"], [name], to=states_in),
        ]
    nodes += [
        helper.make_node("Concat", [f"new_{name}" for name in DELAYS], ["all"], axis=1),
        helper.make_node("Mul", ["all", "share"], ["shown"]),
        helper.make_node("Cast", ["shown"], ["futures"], to=TensorProto.UINT8),
    ]
    constants = {"axes": np.array([1, 2, 3]), "half": np.float32(0.5), "share": np.float32(0.45)}
    states = {name: (states_in, [cameras, 3]) for name in DELAYS}
    pictures = [cameras, 2, *SIZE, 3]
    inputs = {"frames": (TensorProto.UINT8, pictures), "flows": (TensorProto.FLOAT, pictures)}
    inputs |= {f"past_{name}": port for name, port in states.items()}
    outputs = {"futures": (TensorProto.UINT8, [cameras, 3 * len(DELAYS)])} | states
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, *port) for name, port in inputs.items()],
        [helper.make_tensor_value_info(name, *port) for name, port in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def inputs_of(seed: int, cameras: int = 1) -> dict[str, NDArray[Any]]:
    """Frames, each camera's of another brightness in each pass, and flows, without states."""
    random = np.random.default_rng(seed)
    brightest = random.integers(20, 256, (cameras, 1, 1, 1, 3))
    frames = random.integers(10, brightest, (cameras, 2, *SIZE, 3)).astype(np.uint8)
    return {"frames": frames, "flows": random.normal(size=frames.shape).astype(np.float32)}


def states_of(value: float) -> dict[str, NDArray[Any]]:
    return {f"past_{name}": np.full((1, 3), value, np.float32) for name in DELAYS}
