"""What the machine can do at best: products of large matrices in each precision, and copies of memory."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from vidpred_ros.bench.goals import CHAIN, Product
from vidpred_ros.engines import open_file
from vidpred_ros.engines.base import Arrays, Engine

#: Bytes that a bandwidth is measured on: far more than any cache holds.
COPIED = 2**28


class Products:
    """``CHAIN`` products of square matrices with constant ones, on OpenVINO. ``run`` does them once."""

    def __init__(self, product: Product, folder: Path) -> None:
        path = folder / "products.onnx"
        onnx.save(chain(product), path)
        self._engine: Engine = open_file("openvino", path, product.precision)
        shape = self._engine.inputs["x"]
        self._given: Arrays = {"x": np.random.default_rng(0).integers(0, 2, shape).astype(self._engine.dtypes["x"])}
        self._made: Arrays = {"y": np.empty(shape, self._engine.dtypes["y"])}

    def run(self) -> None:
        self._engine.infer(self._given, self._made)

    def close(self) -> None:
        self._engine.close()


def chain(product: Product) -> ModelProto:
    """x times ``CHAIN`` constant matrices -> y of the same shape: (size, size), or (1, size, 32, size / 32) for "Conv".

    float32; int8 is uint8 x and y with Q/DQ around each product.
    """
    rng = np.random.default_rng(0)
    size, convolved, quantised = product.size, product.operator == "Conv", product.precision == "int8"
    shape, weight = ((1, size, 32, size // 32), (size, size, 1, 1)) if convolved else ((size, size), (size, size))
    nodes: list[NodeProto] = []
    constants: dict[str, NDArray[Any]] = {}
    if quantised:
        steps = {"step": np.float32(0.02), "zero": np.uint8(128), "fine": np.float32(0.01), "none": np.int8(0)}
        constants = {name: np.asarray(value) for name, value in steps.items()}
    before = "x"
    for i in range(CHAIN):
        after = "y" if i == CHAIN - 1 else f"x{i}"
        if quantised:
            constants[f"w{i}"] = rng.integers(-127, 128, weight, dtype=np.int8)
            nodes += [
                helper.make_node("DequantizeLinear", [before, "step", "zero"], [f"a{i}"]),
                helper.make_node("DequantizeLinear", [f"w{i}", "fine", "none"], [f"b{i}"]),
                helper.make_node(product.operator, [f"a{i}", f"b{i}"], [f"c{i}"]),
                helper.make_node("QuantizeLinear", [f"c{i}", "step", "zero"], [after]),
            ]
        else:
            constants[f"w{i}"] = (rng.standard_normal(weight) / np.sqrt(size)).astype(np.float32)
            nodes.append(helper.make_node(product.operator, [before, f"w{i}"], [after]))
        before = after
    kind = TensorProto.UINT8 if quantised else TensorProto.FLOAT
    given, made = (helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y"))
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "products", [given], [made], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def bandwidth_gb_s(rounds: int = 7) -> float:
    """GB/s that are read and written while all cores copy large arrays: the median of ``rounds`` copies."""
    cores = len(os.sched_getaffinity(0))
    source, target = np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)
    ends = np.linspace(0, COPIED, cores + 1, dtype=int)
    slices = [slice(begin, end) for begin, end in pairwise(ends)]
    seconds = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(rounds):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(target[part], source[part]), slices))
            seconds.append(time.perf_counter() - start)
    return 2 * COPIED / float(np.median(seconds)) / 1e9
