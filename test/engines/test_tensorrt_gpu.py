"""The TensorRT engine on a GPU against ONNX Runtime on the CPU; skipped where there is no GPU or no TensorRT.

Written on a machine without a GPU: until somebody runs it on one, it has only ever been skipped. test_tensorrt_engine.py has the
same expectations on doubles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_network import inputs_of, small_file, states_of
from numpy.typing import NDArray

from vidpred_ros.engines import cuda, open_engine
from vidpred_ros.engines.choice import find_gpu
from vidpred_ros.engines.onnxruntime_engine import OnnxruntimeEngine
from vidpred_ros.engines.streaming import HostStream
from vidpred_ros.engines.tensorrt_build import find_library
from vidpred_ros.engines.tensorrt_engine import open_tensorrt
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel

#: Largest mean difference of a picture from ONNX Runtime's in float32, in levels of 255.
LIMITS = {"fp32": 0.01, "fp16": 0.5}


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def name(request: pytest.FixtureRequest) -> str:
    """A TensorRT that can run here."""
    try:
        find_gpu()
        find_library(request.param)
        cuda.driver_version()
    except EngineError as error:
        pytest.skip(str(error))
    return str(request.param)


def close_to(got: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Equal up to the order of float32 sums; a byte, which is cut off from a float, up to one."""
    if expected.dtype == np.uint8:
        return bool(np.abs(got.astype(int) - expected).max() <= 1)
    return bool(np.allclose(got, expected, rtol=1e-4, atol=1e-3))


def test_a_step(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = small_file(tmp_path / "small.onnx")
    engine, reference = open_tensorrt(path, name, "fp32"), OnnxruntimeEngine(path)
    for seed in range(5):
        arrays = inputs_of(seed) | states_of(seed)
        expected = reference.infer(arrays)
        assert all(close_to(array, expected[port]) for port, array in engine.infer(arrays).items())
    engine.close()
    assert "without a CUDA graph" not in caplog.text


def test_cameras_in_a_batch_with_states_on_the_gpu(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_tensorrt(small_file(tmp_path / "three.onnx", cameras=3), name, "fp32")
    one = OnnxruntimeEngine(small_file(tmp_path / "one.onnx"))
    stream, own = engine.stream(), [HostStream(one) for _ in range(3)]
    random = np.random.default_rng(0)
    for number in range(60):
        if number % 25 == 24:
            stream.clear(1)
            own[1].clear()
        arrays, present = inputs_of(number, cameras=3), random.random(3) > 0.3
        futures = stream.push(arrays, present)["futures"]
        for camera in np.flatnonzero(present):
            alone = own[camera].push({port: array[camera : camera + 1] for port, array in arrays.items()})
            assert close_to(futures[camera], alone["futures"][0]), (number, camera)
    engine.close()
    assert "without a CUDA graph" not in caplog.text


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("kind", ["whole", "stream"])
def test_the_released_kind_of_network(name: str, tiny_model: Path, kind: str, precision: str) -> None:
    model = ReleasedModel(tiny_model)
    engine = open_engine(model, name, kind, 2, precision)
    reference = open_engine(model, "onnxruntime", kind, 2, "fp32")
    random = np.random.default_rng(0)
    run, expect = (engine.infer, reference.infer) if kind == "whole" else (engine.stream().push, reference.stream().push)
    for _ in range(9):
        arrays = {
            "frames": random.integers(0, 256, engine.inputs["frames"], dtype=np.uint8),
            "flows": random.normal(size=engine.inputs["flows"]).astype(np.float32),
        }
        apart = np.abs(run(arrays)["futures"].astype(float) - expect(arrays)["futures"])
        assert apart.mean() < LIMITS[precision]
    engine.close()
