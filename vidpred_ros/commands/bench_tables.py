"""What ``vidpred bench`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vidpred_ros.commands.common import counted


def print_engines(console: Console, results: Mapping[str, Any]) -> None:
    engines, about = results["engines"], results["host"]
    height, width = engines["size"]
    console.print(
        f"\n[bold]{engines['model']}[/], {counted(engines['steps'], 'step')} of {width}x{height}, {engines['rounds']} rounds, "
        f"{about['cpu']}, {about['cores']} cores",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in ("\nengine", "\nmode"):
        table.add_column(title, no_wrap=True)
    for title in ("predict\nms", "\np99", "network\nms", "x torch\neager"):
        table.add_column(title, justify="right", no_wrap=True)
    for case in engines["cases"]:
        times = case["times_as_fast_as_torch_whole"]
        table.add_row(
            case["runtime"],
            case["mode"],
            f"{case['predict_ms']['median']:.1f}",
            f"{case['predict_ms']['p99']:.1f}",
            f"{case['infer_ms']['median']:.1f}",
            "n/a" if times is None else f"{times:.1f}",
        )
    console.print(table)
    for case, reason in engines["left_out"].items():
        console.print(f"[yellow]{case} is left out:[/] {reason}", highlight=False)


def print_structure(console: Console, results: Mapping[str, Any]) -> None:
    found, about = results["structure"], results["host"]
    height, width = found["size"]
    console.print(
        f"\n[bold]{found['model']}[/], {found['samples']} futures of {found['steps']} label maps of {width}x{height}, "
        f"{found['rounds']} rounds, {about['cpu']}, {about['cores']} cores",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=0)  # 80 columns hold it then
    for title in ("\nengine", "\nmode"):
        table.add_column(title, no_wrap=True)
    for title in ("forecast\nms", "\np99", "flow\nms", "encode\nms", "futures\nms", "per\nsecond", "x torch\neager"):
        table.add_column(title, justify="right", no_wrap=True)
    for case in found["cases"]:
        times = case["times_as_fast_as_torch_whole"]
        stages = (f"{case[f'{stage}_ms']['median']:.1f}" for stage in ("motion", "encode", "forecast"))
        table.add_row(
            case["runtime"],
            case["mode"],
            f"{case['predict_ms']['median']:.1f}",
            f"{case['predict_ms']['p99']:.1f}",
            *stages,
            f"{case['forecasts_per_s']:.2f}",
            "n/a" if times is None else f"{times:.1f}",
        )
    console.print(table)
    for case in found["segmenters"]:
        console.print(f"segmenter on {case['runtime']}: {case['predict_ms']['median']:.1f} ms a frame, apart", highlight=False)
    for name, reason in found["left_out"].items():
        console.print(f"[yellow]{name} is left out:[/] {reason}", highlight=False)


def print_node(console: Console, node: Mapping[str, Any]) -> None:
    if "error" in node:
        console.print(f"[yellow]The node was not measured:[/] {node['error']}", highlight=False)
        return
    camera, counts = node["camera"], node["windows"]
    height, width = camera["size"]
    console.print(
        f"[bold]node[/] with {node['engine']}, raw {width}x{height} camera at {camera['rate_hz']:g} Hz: "
        f"{node['received']} of {camera['sent']} frames received; of {counts['expected']} windows "
        f"{counts['predicted']} predicted, {counts['skipped_busy']} skipped while busy, {counts['lost']} lost",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("stage")
    for title in ("median ms", "p99 ms"):
        table.add_column(title, justify="right")
    for stage, times in node.get("stages", node["latency_ms"]).items():
        if times["median"] is not None:
            table.add_row(stage, f"{times['median']:.2f}", f"{times['p99']:.2f}")
    console.print(table)
    _print_process(console, node)


def _print_process(console: Console, node: Mapping[str, Any]) -> None:
    console.print(
        f"resident memory {node['resident_mb'].get('peak', 0):.0f} MB at its peak, {node['cpu_percent']:.0f} % of one core",
        highlight=False,
    )


def print_cameras(console: Console, results: Mapping[str, Any]) -> None:
    node = results["cameras"]
    first = next(iter(node["cameras"].values()))
    height, width = first["camera"]["size"]
    console.print(
        f"[bold]node[/] with {first['model']}, {counted(node['steps'], 'step')}, on {first['engine']}, {len(node['cameras'])} raw {width}x{height} cameras "
        f"at {first['camera']['rate_hz']:g} Hz",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("camera")
    for title in ("frames sent", "received", "forecasts", "a second", "median ms", "p99 ms"):
        table.add_column(title, justify="right")
    for name, one in node["cameras"].items():
        total, rate = one["latency_ms"]["total"], one["rate_out_hz"]
        counts = (one["camera"]["sent"], one["received"], one["windows"]["predicted"])
        table.add_row(name, *map(str, counts), "n/a" if rate is None else f"{rate:.1f}", f"{total['median']:.1f}", f"{total['p99']:.1f}")
    console.print(table)
    _print_process(console, node)


def print_goals(console: Console, results: Mapping[str, Any]) -> None:
    """Each goal with what was measured, whether it is met, and what could not be measured here."""
    from vidpred_ros.bench.docs import verdict
    from vidpred_ros.bench.goals import Ratio
    from vidpred_ros.bench.growth import summary

    about = results["host"]
    console.print(f"\n{about['cpu']}, {about['cores']} cores, {results['rounds']} rounds, medians", highlight=False)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("goal")
    for title in ("measured", "wanted"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    ratios = [Ratio(**entry) for entry in results["ratios"]]
    for ratio in ratios:
        sign = ">=" if ratio.better == "higher" else "<="
        colour = "green" if ratio.met else "red"
        table.add_row(
            f"{ratio.name} ({ratio.unit})",
            f"{ratio.measured:.2f}",
            f"{sign} {ratio.goal:g}",
            f"[{colour}]{verdict(ratio)}[/]",
        )
    console.print(table)
    growth = f"; {summary(results['growth'])}" if "growth" in results else ""
    console.print(f"{sum(ratio.met for ratio in ratios)} of {len(ratios)} met{growth}", highlight=False)
    for name, reason in results["left_out"].items():
        console.print(f"[yellow]{name} is left out:[/] {reason}", highlight=False)
