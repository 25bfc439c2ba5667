"""The goals of a GPU on doubles: whatever fails there, the other figures are kept and the reason is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vidpred_ros.bench import gpu, table
from vidpred_ros.bench.gpu import GOALS, GpuGoal, measure_gpu
from vidpred_ros.engines.choice import Gpu

SIZE = (32, 32)


class DoubleEngine:
    """``infer`` and the push of its stream give nothing; ``fails`` at the call of that number."""

    captured = True

    def __init__(self, fails: int = -1) -> None:
        self.inputs = {"frames": (8, *SIZE, 3)}
        self.calls, self.fails, self.closed = 0, fails, False

    def infer(self, arrays: Any) -> None:
        self.calls += 1
        if self.calls == self.fails:
            raise ValueError("Error Code 1: Cuda Runtime (an illegal memory access was encountered)")

    def stream(self) -> DoubleEngine:
        return self

    push = infer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, DoubleEngine]]:
    """A GPU with one engine, tensorrt, by a goal's network and graph; each has to be closed in the end."""
    opened: dict[str, DoubleEngine] = {}
    waiting: dict[str, Any] = {}

    def open_engine(network: str, name: str, graph: str, steps: int, precision: str, batch: int) -> DoubleEngine:
        key = f"{network} {graph} {batch}"
        made = waiting.get(key) or DoubleEngine()
        if isinstance(made, BaseException):
            raise made
        opened[key] = made
        return made

    monkeypatch.setattr(gpu, "find_gpu", lambda: Gpu("Double", "9.0", 80.0, "13.0"))
    monkeypatch.setattr(gpu, "torch_on_gpu", lambda: False)
    monkeypatch.setattr(gpu, "obstacles", lambda: {"tensorrt": "", "tensorrt_rtx": "not installed"})
    monkeypatch.setattr(gpu, "network_named", lambda name: name)
    monkeypatch.setattr(gpu, "open_engine", open_engine)
    monkeypatch.setattr(gpu, "SIZE", SIZE)
    monkeypatch.setattr(gpu, "training_rates", lambda: {"bf16": 100.0})
    monkeypatch.setattr("vidpred_ros.bench.cases.TURN_S", 1e-6)
    yield waiting
    assert all(engine.closed for engine in opened.values())


def key(goal: GpuGoal) -> str:
    return f"{goal.network} {goal.graph} {goal.cameras}"


def test_every_goal_is_measured_with_the_name_of_the_gpu(engines: dict[str, Any]) -> None:
    ratios, raw, left_out = measure_gpu(2)
    assert [ratio.goal for ratio in ratios] == [goal.goal_ms for goal in GOALS] and not left_out
    assert all("on Double (tensorrt)" in ratio.name for ratio in ratios)
    assert raw[-1] == {"case": "training, windows/s of shouno_g_mae, bf16", "windows_per_s": 100.0}


def test_what_fails_leaves_the_others(engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One engine breaks as it is opened, one in its first call, and training too; no exception is one of ours."""
    engines[key(GOALS[1])] = RuntimeError("out of memory")
    engines[key(GOALS[2])] = DoubleEngine(fails=1)

    def break_down() -> dict[str, float]:
        raise MemoryError("no room for a batch")

    monkeypatch.setattr(gpu, "training_rates", break_down)
    ratios, raw, left_out = measure_gpu(2)
    assert [ratio.goal for ratio in ratios] == [GOALS[0].goal_ms, GOALS[3].goal_ms] and len(raw) == 2
    assert left_out[f"{GOALS[1].name} on tensorrt"] == "RuntimeError: out of memory"
    assert "ValueError: Error Code 1" in left_out[f"{GOALS[2].name} on tensorrt"]
    assert left_out["training, windows/s of shouno_g_mae"] == "MemoryError: no room for a batch"


def test_what_fails_in_the_rounds_is_said_of_all_that_ran(engines: dict[str, Any]) -> None:
    engines[key(GOALS[0])] = DoubleEngine(fails=9)
    ratios, raw, left_out = measure_gpu(20)
    assert not ratios and len(raw) == 1  # training
    assert left_out.keys() == {f"{goal.name} on tensorrt" for goal in GOALS}
    assert all("illegal memory access" in why for why in left_out.values())


def test_a_row_that_says_cuda_graph_is_of_one(engines: dict[str, Any]) -> None:
    engines[key(GOALS[0])] = DoubleEngine()
    engines[key(GOALS[0])].captured = False
    ratios, _, left_out = measure_gpu(2)
    assert "CUDA graph" in GOALS[0].name and len(ratios) == len(GOALS) - 1
    assert "without a CUDA graph" in left_out[f"{GOALS[0].name} on tensorrt"]


def test_the_whole_measurement_outlives_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node, growth and GPU, which are all measured, may fail; and the node is measured before there are engines."""
    order: list[str] = []

    def broken(name: str) -> Any:
        def fail(*arguments: object) -> None:
            order.append(name)
            raise RuntimeError(f"{name} broke down")

        return fail

    def measured(*arguments: object) -> dict[str, Any]:
        order.append("table")
        return {"rounds": 2, "ratios": [], "machine": {}, "roofline": [], "raw": [], "left_out": {}}

    monkeypatch.setattr(table, "measure_table", measured)
    monkeypatch.setattr(table, "measure_growth", broken("growth"))
    monkeypatch.setattr(table, "measure_node", broken("node"))
    monkeypatch.setattr(table, "int8_ratios", lambda: ([], {}))
    monkeypatch.setattr(table, "measure_gpu", lambda *arguments: ([], [{"case": "x"}], {"y": "no GPU"}))
    found = table.measure_all("hrp_tree_w25", None, 1, 2, 1.0)
    assert order == ["node", "table", "growth"]
    assert found["left_out"] == {
        "growth of cost": "RuntimeError: growth broke down",
        "y": "no GPU",
        "camera frame to published forecast": "RuntimeError: node broke down",
    }
    assert found["raw"] == [{"case": "x"}] and "node" not in found and "growth" not in found
