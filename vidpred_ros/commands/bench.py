"""``vidpred bench``: engines, streaming, and the path of a frame through the node."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    DEFAULT_SEGMENTER,
    DEFAULT_STRUCTURE,
    EngineOption,
    ModelOption,
    SegmenterOption,
    StructureModelOption,
    command_line,
    print_files,
)
from vidpred_ros.errors import VidpredError

#: The camera of the node's part: raw, as most car cameras send it.
CAMERA_SIZE, CAMERA_RATE = (720, 1280), 30.0


def bench(
    model: ModelOption = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", "-k", min=1, help="future frames of each prediction", show_default="1, or 5 with --structure"),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=5, help="predictions of each engine")] = 50,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, help="of camera into the node; 0 leaves it out")
    ] = 20,
    structure: Annotated[bool, typer.Option("--structure", help="measure label futures instead of frames")] = False,
    structure_model: StructureModelOption = DEFAULT_STRUCTURE,
    segmenter: SegmenterOption = DEFAULT_SEGMENTER,
    samples: Annotated[int, typer.Option("--samples", min=1, help="label futures drawn at a time")] = 8,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for bench.json")] = Path("out/bench"),
) -> None:
    """Measure how fast a model is on this machine.

    First every installed engine, whole and streamed, in one interleaved run and relative to torch eager. Then, where
    ROS 2 is there, a raw 1280x720 camera at 30 Hz into the node on --engine: how long each stage of a frame's way
    takes, what was lost, and the memory. Writes bench.json with host and configuration.

    With --structure it is a forecast of label maps that is measured, from label maps that are there, and the segmenter
    that makes them beside it; the node is left out.

    Examples:

      vidpred bench

      vidpred bench --model hrp_tree_w50 --seconds 60

      vidpred bench --steps 5 --seconds 0

      vidpred bench --structure --rounds 20
    """
    console = Console()
    if structure:
        _bench_structure(structure_model, segmenter, steps or 5, samples, rounds, out, console)
    else:
        _bench_frames(model, engine, steps or 1, rounds, seconds, out, console)


def _bench_structure(
    model: str, segmenter: str, steps: int, samples: int, rounds: int, out: Path, console: Console
) -> None:
    from vidpred_ros.bench.labels import measure_structure
    from vidpred_ros.evaluation import host

    with _bars(console) as progress:
        task = progress.add_task("opening the engines (rounds)", total=rounds)
        results: dict[str, Any] = {"command": command_line(), "host": host.describe()}
        results["structure"] = measure_structure(
            model,
            segmenter,
            steps,
            samples,
            rounds,
            lambda done, total: progress.update(task, completed=done, total=total, description="engines (rounds)"),
        )
    _write(out, results)
    _print_structure(console, results)
    print_files(console, out, "bench.json")


def _write(out: Path, results: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")


def _bars(console: Console) -> Progress:
    counts = TextColumn("{task.completed:.0f}/{task.total:.0f}")
    return Progress(TextColumn("{task.description}"), BarColumn(), counts, TimeElapsedColumn(), console=console)


def _bench_frames(
    model: str, engine: str | None, steps: int, rounds: int, seconds: float, out: Path, console: Console
) -> None:
    from vidpred_ros.bench.engines import measure_engines
    from vidpred_ros.evaluation import host

    with _bars(console) as progress:
        task = progress.add_task("opening the engines (rounds)", total=rounds)
        results: dict[str, Any] = {
            "command": command_line(),
            "host": host.describe(),
            "engines": measure_engines(
                model,
                steps,
                rounds,
                lambda done, total: progress.update(
                    task, completed=done, total=total, description="engines (rounds)"
                ),
            ),
        }
        if seconds > 0:
            task = progress.add_task("starting the nodes (s)", total=seconds)
            results["node"] = _measure_node(
                model,
                engine,
                steps,
                seconds,
                lambda done, total: progress.update(
                    task, completed=done, total=total, description="node (s)"
                ),
            )
    _write(out, results)
    _print_engines(console, results)
    if "node" in results:
        _print_node(console, results["node"])
    print_files(console, out, "bench.json")


def _measure_node(
    model: str, engine: str | None, steps: int, seconds: float, progress: Any
) -> dict[str, Any]:
    """The figures of ``run_load``, or the reason why there are none (a machine without ROS 2)."""
    from vidpred_ros.nodes.load import run_load

    try:
        return run_load(CAMERA_SIZE, CAMERA_RATE, seconds, model, engine, steps, progress)
    except VidpredError as error:
        return {"error": str(error)}


def _print_engines(console: Console, results: Mapping[str, Any]) -> None:
    engines, about = results["engines"], results["host"]
    height, width = engines["size"]
    console.print(
        f"\n[bold]{engines['model']}[/], {engines['steps']} step(s) of {width}x{height}, {engines['rounds']} rounds, "
        f"{about['cpu']}, {about['cores']} cores",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in ("engine", "mode"):
        table.add_column(title)
    for title in ("predict ms", "p99", "network ms", "x torch eager"):
        table.add_column(title, justify="right")
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


def _print_structure(console: Console, results: Mapping[str, Any]) -> None:
    found, about = results["structure"], results["host"]
    height, width = found["size"]
    console.print(
        f"\n[bold]{found['model']}[/], {found['samples']} futures of {found['steps']} label maps of {width}x{height}, "
        f"{found['rounds']} rounds, {about['cpu']}, {about['cores']} cores",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in ("engine", "mode"):
        table.add_column(title)
    for title in ("forecast ms", "p99", "flow ms", "encode ms", "futures ms", "a second", "x torch eager"):
        table.add_column(title, justify="right")
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


def _print_node(console: Console, node: Mapping[str, Any]) -> None:
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
    for stage, times in node["latency_ms"].items():
        if times["median"] is not None:
            table.add_row(stage, f"{times['median']:.1f}", f"{times['p99']:.1f}")
    console.print(table)
    console.print(
        f"resident memory {node['resident_mb'].get('peak', 0):.0f} MB at its peak, {node['cpu_percent']:.0f} % of one core",
        highlight=False,
    )
