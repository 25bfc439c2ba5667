"""The goals of speed, and what was measured against each: frames of 160x128, one future frame, batch 1.

The networks. ``paper_*``: Shouno's form (2020) in our reading, whole window. ``tree_*``: our tree form with the paper's head.
Both have random weights: speed does not hang on their values. ``hrp_tree_*``: released, tree form with our warp head on optical flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: Height and width of the frames.
SIZE = (128, 160)

Better = Literal["higher", "lower"]


class Case(NamedTuple):
    """One graph of a network on one engine in one precision."""

    network: str
    graph: str  # "whole" or "stream"
    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.network} {self.graph}, {self.engine} {self.precision}"


class Product(NamedTuple):
    """Products of square matrices: what the machine can do at best (``machine.Products``)."""

    precision: str
    size: int
    operator: str  # "MatMul", or "Conv": the same product as a 1x1 convolution, for which a runtime has other kernels

    def __str__(self) -> str:
        return f"matrix products of {self.size} ({self.operator}), {self.precision}"


#: The optical flow of one new frame.
FLOW = "optical flow"

#: The fastest of a precision is the machine's peak.
PRODUCTS = [
    Product(precision, size, operator)
    for precision in ("fp32", "bf16", "int8")
    for size, operator in ((1024, "MatMul"), (2048, "MatMul"), (1024, "Conv"))
]
#: Products in a row, each of the last one's result, as layers are: so that changing the type of what goes in and comes out
#: counts little.
CHAIN = 3


@dataclass(frozen=True)
class Ratio:
    """An entry of ``ratios``."""

    name: str
    measured: float
    goal: float
    better: Better
    unit: str

    @property
    def met(self) -> bool:
        return self.measured >= self.goal if self.better == "higher" else self.measured <= self.goal

    @property
    def missed_by(self) -> float:
        """The share of the goal that is lacking, or over it; 0 where it is met."""
        return 0.0 if self.met else abs(self.measured - self.goal) / self.goal


@dataclass(frozen=True)
class Speedup:
    """The time of ``slow`` over the time of ``fast`` (with ``beside``, that of both)."""

    name: str
    slow: Case
    fast: Case
    goal: float
    beside: str | None = None

    def of(self, medians: Mapping[Case | Product | str, float]) -> Ratio:
        """``medians``: milliseconds."""
        fast = medians[self.fast] + (medians[self.beside] if self.beside else 0.0)
        return Ratio(self.name, medians[self.slow] / fast, self.goal, "higher", "times as fast")


@dataclass(frozen=True)
class Share:
    """Operations per second of ``case`` over those of the machine's matrix products in the same type."""

    name: str
    case: Case
    goal: float

    def of(self, medians: Mapping[Case | Product | str, float], flops: int) -> Ratio:
        """``flops``: of one run of the case."""
        achieved = flops / medians[self.case] / 1e6
        return Ratio(self.name, achieved / peak_gflops(medians, self.case.precision), self.goal, "higher", "of the peak")


def peak_gflops(medians: Mapping[Case | Product | str, float], precision: str) -> float:
    """GFLOP/s of the fastest of the matrix products."""
    return max(CHAIN * 2 * one.size**3 / medians[one] / 1e6 for one in PRODUCTS if one.precision == precision)


def _paper(width: float, engine: str, precision: str) -> Case:
    return Case(f"paper_w{100 * width:.0f}", "whole", engine, precision)


def _ours(network: str, graph: str, precision: str) -> Case:
    return Case(network, graph, "openvino", precision)


#: Widths of the tables, with the goal of OpenVINO over torch eager.
_WIDTHS = {0.25: 2.5, 0.5: 2.5, 1.0: 1.5}
#: The two that are released.
RELEASED = ("hrp_tree_w25", "hrp_tree_w50")

SPEEDUPS = [
    *(
        Speedup(
            f"OpenVINO fp32 over torch eager, paper form, width {width:g}",
            _paper(width, "torch", "fp32"),
            _paper(width, "openvino", "fp32"),
            goal,
        )
        for width, goal in _WIDTHS.items()
    ),
    *(
        Speedup(
            f"OpenVINO bf16 over its own fp32, paper form, width {width:g}",
            _paper(width, "openvino", "fp32"),
            _paper(width, "openvino", "bf16"),
            1.8,
        )
        for width in _WIDTHS
    ),
    *(
        Speedup(
            f"OpenVINO int8 over its own fp32, paper form, width {width:g}",
            _paper(width, "openvino", "fp32"),
            _paper(width, "openvino", "int8"),
            3.5,
        )
        for width in _WIDTHS
    ),
    *(
        Speedup(
            f"OpenVINO int8 over its own fp32, {name}, whole window",
            _ours(name, "whole", "fp32"),
            _ours(name, "whole", "int8"),
            3.5,
        )
        for name in RELEASED
    ),
    *(
        Speedup(
            f"streamed over whole in torch eager, {name}",
            Case(name, "whole", "torch", "fp32"),
            Case(name, "stream", "torch", "fp32"),
            2.0,
        )
        for name in ("tree_w25", "hrp_tree_w25")
    ),
    *(
        Speedup(
            f"streamed over whole in OpenVINO {precision}, {name}",
            _ours(name, "whole", precision),
            _ours(name, "stream", precision),
            1.6,
        )
        for name in ("tree_w50", "hrp_tree_w50")
        for precision in ("fp32", "bf16")
    ),
    *(
        Speedup(
            f"default path over the paper form in torch eager, width 0.5: hrp_tree_w50 streamed, {precision}{more}",
            _paper(0.5, "torch", "fp32"),
            _ours("hrp_tree_w50", "stream", precision),
            25,
            beside,
        )
        for beside, more in ((None, ", its network"), (FLOW, ", network and optical flow"))
        for precision in ("bf16", "int8")
    ),
]

SHARES = [
    Share(f"share of the matrix-product peak, OpenVINO {precision}, {name}", _ours(network, "whole", precision), 0.6)
    for network, name in (
        ("paper_w50", "paper form, width 0.5"),
        ("paper_w100", "paper form, width 1"),
        ("hrp_tree_w50", "hrp_tree_w50, whole window"),
    )
    for precision in ("fp32", "bf16", "int8")
]

#: LPIPS of int8 over that of fp32, one frame ahead: at most this much worse.
LPIPS_GOAL_PERCENT = 2.0
#: From a camera's 1280x720 frame to the published forecast, without the network's own inference.
NODE_GOALS_MS = {"median": 4.0, "p99": 10.0}


def cases() -> list[Case]:
    """Every case that a goal needs, in the order of the goals."""
    found = [one for speedup in SPEEDUPS for one in (speedup.slow, speedup.fast)] + [share.case for share in SHARES]
    return list(dict.fromkeys(found))


def ratios_of(medians: Mapping[Case | Product | str, float], flops: Mapping[Case, int]) -> list[Ratio]:
    """The entries whose cases were measured: ``medians`` in milliseconds, ``flops`` of one run."""
    speedups = [one.of(medians) for one in SPEEDUPS if {one.slow, one.fast, one.beside or FLOW} <= medians.keys()]
    return speedups + [one.of(medians, flops[one.case]) for one in SHARES if one.case in medians]


def node_ratios(figures: Mapping[str, float]) -> list[Ratio]:
    """The node's two entries: ``figures`` {"median", "p99"} in milliseconds."""
    name = "camera frame 1280x720 to published forecast minus the network's inference"
    return [Ratio(f"{name}, {key}", figures[key], goal, "lower", "ms") for key, goal in NODE_GOALS_MS.items()]
