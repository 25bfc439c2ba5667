"""The machine's peaks: products that really are products, in the type that they claim."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper

from vidpred_ros.bench import machine
from vidpred_ros.bench.goals import CHAIN, PRODUCTS, Product
from vidpred_ros.bench.machine import Products, bandwidth_gb_s, chain


@pytest.mark.parametrize("operator", ["MatMul", "Conv"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_chain_is_products_of_matrices(operator: str, precision: str) -> None:
    product = Product(precision, 64, operator)
    proto = chain(product)
    constants = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    rng = np.random.default_rng(1)
    x = rng.integers(0, 255, shape).astype(np.uint8) if precision == "int8" else rng.standard_normal(shape).astype(np.float32)
    wanted = x.reshape(64, 64).astype(np.float64)
    for i in range(CHAIN):
        weight = constants[f"w{i}"].reshape(64, 64).astype(np.float64)
        if precision == "int8":
            values, weight = (wanted - 128) * 0.02, weight * 0.01
            made = values @ weight if operator == "MatMul" else weight @ values
            wanted = np.clip(np.rint(made / 0.02) + 128, 0, 255)
        else:
            wanted = wanted @ weight if operator == "MatMul" else weight @ wanted
    (y,) = session.run(None, {"x": x})
    assert y.shape == tuple(shape)
    if precision == "int8":
        assert (np.abs(y.reshape(64, 64) - wanted) <= 1).mean() > 0.99, "a value on the edge may round the other way"
    else:
        assert y.reshape(64, 64) == pytest.approx(wanted, abs=1e-3)


def test_products_run(tmp_path) -> None:
    pytest.importorskip("openvino")
    products = Products(Product("fp32", 32, "Conv"), tmp_path)
    products.run()
    products.close()
    assert {one.precision for one in PRODUCTS} == {"fp32", "bf16", "int8"}


def test_bandwidth_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COPIED", 2**16)
    assert bandwidth_gb_s(rounds=2) > 0
