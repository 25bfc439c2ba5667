"""The table of speed goals: everything that a goal needs, the engines in one interleaved run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidpred_ros.bench import goals
from vidpred_ros.bench.cases import Drive, drive, engine_run, flow_run, repeated
from vidpred_ros.bench.flops import Work, count_work
from vidpred_ros.bench.goals import FLOW, PRODUCTS, SIZE, Case, Product, Ratio
from vidpred_ros.bench.gpu import in_words, measure_gpu
from vidpred_ros.bench.growth import measure_growth
from vidpred_ros.bench.interleave import WARM_UP, Run, figures, interleave
from vidpred_ros.bench.machine import Products, bandwidth_gb_s
from vidpred_ros.bench.networks import network_named
from vidpred_ros.bench.node import measure_node
from vidpred_ros.bench.quality import int8_ratios
from vidpred_ros.engines import GraphSpec, exported_file, open_engine
from vidpred_ros.engines.base import Engine, bf16_is_native, installed_engines
from vidpred_ros.errors import EngineError
from vidpred_ros.models import ReleasedModel, find_model

Progress = Callable[[str, float, float], None]  # what, done, total
Measured = Case | Product | str


def measure_all(
    model: str, engine: str | None, steps: int, rounds: int, seconds: float, progress: Progress = lambda what, done, total: None
) -> dict[str, Any]:
    """What ``vidpred bench --json`` writes: ``measure_table``'s, ``growth`` and, with ``seconds`` of camera, ``node``.

    ``model``, ``engine`` and ``steps`` are for growth and node. What cannot be measured here is in ``left_out`` with the reason.
    """
    # the node comes first: just after the engines of this process had been closed it lost frames
    node, ratios, without_node = _node(model, engine, steps, seconds, progress) if seconds > 0 else ({}, [], {})
    found = measure_table(rounds, progress)
    left_out = found["left_out"]
    quality, without_scores = int8_ratios()
    try:
        found["growth"] = measure_growth(find_model(model), rounds, progress)
    except Exception as error:  # noqa: BLE001 - the other figures stay
        left_out["growth of cost"] = in_words(error)
    on_gpu, raw, without_gpu = measure_gpu(rounds, progress)
    found["raw"] += raw
    found["ratios"] += [asdict(one) for one in (*quality, *on_gpu, *ratios)]
    left_out |= without_scores | without_gpu | without_node
    return found | node


def _node(
    model: str, engine: str | None, steps: int, seconds: float, progress: Progress
) -> tuple[dict[str, Any], list[Ratio], dict[str, str]]:
    """What ``found`` gets of the node, its entries, and what is left out with the reason."""
    try:
        progress("starting the nodes (s)", 0, seconds)
        figures, _ = measure_node(model, engine, steps, seconds, lambda done, total: progress("node (s)", done, total))
        return {"node": figures}, goals.node_ratios(figures["stages"]["total less inference"]), {}
    except Exception as error:  # noqa: BLE001 - the other figures are measured all the same
        return {}, [], {"camera frame to published forecast": in_words(error)}


def measure_table(
    rounds: int, progress: Progress = lambda what, done, total: None, wanted: list[Case] | None = None
) -> dict[str, Any]:
    """``ratios`` of engines against each other and the peak, ``raw`` times, ``machine``, ``roofline``, and ``left_out``.

    A turn of a case is its engine's call (a streamed one's with its states); optical flow and matrix products have turns in the
    same rounds. ``wanted``: all cases of the goals. An engine or network that cannot be had is left out with the reason.
    """
    wanted = goals.cases() if wanted is None else wanted
    left_out: dict[str, str] = {}
    works: dict[Case, Work] = {}
    runs: dict[Measured, Run] = {}
    seen = drive(SIZE)
    with ExitStack() as opened:
        for number, case in enumerate(wanted):
            progress(f"opening {case}", number, len(wanted))
            try:
                run, work = _open(case, opened, seen)
                run(None)  # what fails, fails now
            except Exception as error:  # noqa: BLE001 - the other cases are measured all the same
                left_out[str(case)] = in_words(error)
                continue
            runs[case] = run
            if work is not None:
                works[case] = work
        runs[FLOW] = flow_run(seen)
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="vidpred_products_")))
        for product in PRODUCTS if "openvino" in installed_engines() else []:
            runs[product] = _product(product, folder, opened)
        times = interleave(runs, range(WARM_UP + rounds), lambda done, total: progress("engines (rounds)", done, total))
    calls = {case: [one["call"] for one in values] for case, values in times.items()}
    medians = {case: figures(values)["median"] for case, values in calls.items()}
    peaks = {one.precision: goals.peak_gflops(medians, one.precision) for one in runs if isinstance(one, Product)}
    machine = {"copy_gb_s": bandwidth_gb_s()} | {f"{precision}_gflops": peak for precision, peak in peaks.items()}
    return {
        "rounds": rounds,
        "ratios": [asdict(one) for one in goals.ratios_of(medians, {case: work.useful_flops for case, work in works.items()})],
        "machine": machine,
        "roofline": [roofline(case, work, medians[case], machine) for case, work in works.items() if case.precision in peaks],
        "raw": [{"case": str(case), **figures(values), "ms": [round(ms, 3) for ms in values]} for case, values in calls.items()],
        "left_out": left_out,
    }


def _open(case: Case, opened: ExitStack, seen: Drive) -> tuple[Run, Work | None]:
    """The case's turn, and what its network computes (of an exported one). Raises VidpredError or ImportError."""
    if case.precision == "bf16" and not bf16_is_native():
        raise EngineError("this processor does not multiply bfloat16")
    model = network_named(case.network)
    engine = _torch(model, case) if case.engine == "torch" else open_engine(model, case.engine, case.graph, 1, case.precision)
    opened.callback(engine.close)
    # of the float file: the same work, and shapes that no quantisation hides
    work = count_work(exported_file(model, GraphSpec(case.graph))) if case.engine != "torch" else None
    return engine_run(engine, case.graph, seen), work


def _torch(model: ReleasedModel, case: Case) -> Engine:
    """On the processor, as the goals have it, though there be a GPU."""
    from vidpred_ros.engines.torch_engine import TorchEngine

    return TorchEngine(model, GraphSpec(case.graph), case.precision, on_gpu=False)


def _product(product: Product, folder: Path, opened: ExitStack) -> Run:
    products = Products(product, folder)
    opened.callback(products.close)
    return repeated(lambda number: number, lambda number: products.run())


def roofline(case: Case, work: Work, milliseconds: float, machine: Mapping[str, float]) -> dict[str, Any]:
    """A row of the roofline table: what was achieved, and the most that the machine's peak and its memory allow."""
    peak, copied = machine[f"{case.precision}_gflops"], work.bytes(case.precision)
    achieved = work.useful_flops / milliseconds / 1e6
    limit = min(peak, machine["copy_gb_s"] * work.useful_flops / copied)
    return {
        "case": str(case),
        "gflop": work.flops / 1e9,
        "useful_gflop": work.useful_flops / 1e9,
        "megabytes": copied / 1e6,
        "ms": milliseconds,
        "gflop_s": achieved,
        "gb_s": copied / milliseconds / 1e6,
        "share_of_peak": achieved / peak,
        "share_of_roof": achieved / limit,
    }
