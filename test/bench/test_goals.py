"""The goals of speed: entries follow from times, each by its own rule."""

from __future__ import annotations

import pytest

from vidpred_ros.bench import goals
from vidpred_ros.bench.goals import FLOW, PRODUCTS, Case, Product, Ratio, Share, Speedup

SLOW, FAST = Case("a", "whole", "torch", "fp32"), Case("a", "whole", "openvino", "fp32")


@pytest.mark.parametrize(
    ("measured", "goal", "better", "met", "missed_by"),
    [(2.5, 2.5, "higher", True, 0), (2.0, 2.5, "higher", False, 0.2), (4.0, 4.0, "lower", True, 0), (5.0, 4.0, "lower", False, 0.25)],
)
def test_met_or_missed(measured, goal, better, met, missed_by):
    ratio = Ratio("r", measured, goal, better, "")
    assert ratio.met is met
    assert ratio.missed_by == pytest.approx(missed_by)


def test_a_speedup_is_of_medians_and_counts_what_goes_beside():
    medians = {SLOW: 100.0, FAST: 4.0, FLOW: 1.0}
    assert Speedup("x", SLOW, FAST, 25).of(medians) == Ratio("x", 25.0, 25, "higher", "times as fast")
    assert Speedup("x", SLOW, FAST, 25, FLOW).of(medians).measured == 20.0


def test_a_share_is_of_the_fastest_product_in_the_same_type():
    medians = {product: 1000.0 for product in PRODUCTS} | {FAST: 10.0}
    medians[Product("fp32", 1024, "MatMul")] = goals.CHAIN * 2 * 1024**3 / 1e6 / 300  # 300 GFLOP/s
    medians[Product("bf16", 1024, "MatMul")] = 1e-3
    assert goals.peak_gflops(medians, "fp32") == pytest.approx(300)
    assert Share("x", FAST, 0.6).of(medians, 10**9).measured == pytest.approx(100 / 300)


def test_entries_are_of_what_was_measured():
    everything = {case: 10.0 for case in goals.cases()} | {product: 10.0 for product in PRODUCTS} | {FLOW: 1.0}
    work = {case: 10**9 for case in goals.cases()}
    entries = goals.ratios_of(everything, work)
    assert len(entries) == len(goals.SPEEDUPS) + len(goals.SHARES) == len({entry.name for entry in entries})
    gone = goals.SPEEDUPS[0].fast
    less = goals.ratios_of({case: ms for case, ms in everything.items() if case != gone}, work)
    lost = {entry.name for entry in entries} - {entry.name for entry in less}
    assert lost == {one.name for one in goals.SPEEDUPS if gone in (one.slow, one.fast)} | {
        one.name for one in goals.SHARES if one.case == gone
    }


def test_goals_are_those_that_were_set():
    """What the project promised, row by row: see docs/performance.md."""
    wanted = {(one.slow.engine, one.slow.precision, one.fast.precision, one.slow.network, one.goal) for one in goals.SPEEDUPS}
    for width, goal in ((25, 2.5), (50, 2.5), (100, 1.5)):
        assert ("torch", "fp32", "fp32", f"paper_w{width}", goal) in wanted
        assert ("openvino", "fp32", "bf16", f"paper_w{width}", 1.8) in wanted
        assert ("openvino", "fp32", "int8", f"paper_w{width}", 3.5) in wanted
    streamed = {(one.fast.engine, one.fast.network, one.goal) for one in goals.SPEEDUPS if one.slow.graph != one.fast.graph}
    assert {("torch", "tree_w25", 2.0), ("openvino", "tree_w50", 1.6), ("openvino", "hrp_tree_w50", 25)} <= streamed
    shares = {(one.case.network, one.case.precision) for one in goals.SHARES if one.goal == 0.6 and one.case.graph == "whole"}
    wide = ("paper_w50", "paper_w100", "hrp_tree_w50")
    assert shares == {(network, precision) for network in wide for precision in ("fp32", "bf16", "int8")}
    entries = goals.node_ratios({"median": 4.5, "p99": 9.0})
    assert [(entry.measured, entry.goal, entry.met) for entry in entries] == [(4.5, 4.0, False), (9.0, 10.0, True)]
