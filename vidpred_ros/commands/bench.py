"""``vidpred bench``: the goals, engines, streaming, and the path of a frame through the node."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vidpred_ros.commands.bench_tables import (
    print_cameras,
    print_engines,
    print_goals,
    print_node,
    print_structure,
)
from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    DEFAULT_SEGMENTER,
    DEFAULT_STRUCTURE,
    EngineOption,
    SegmenterOption,
    StructureModelOption,
    check_out,
    command_line,
    print_files,
)
from vidpred_ros.errors import ConfigError, VidpredError

#: Called with what is being done, and how much of how much is done.
Told = Callable[[str, float, float], None]


def bench(
    model: Annotated[str, typer.Option("--model", "-m", help="a released model's name (see `vidpred models`) or folder")] = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", "-k", min=1, help="future frames of each prediction", show_default="1, or 5 with --structure"),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=5, help="turns of each engine", show_default="50, or 10 with --json")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="of camera into the node; 0 leaves it out")] = 20,
    cameras: Annotated[
        int | None, typer.Option("--cameras", min=2, help="only the node, with this many cameras at 10 Hz", show_default=False)
    ] = None,
    structure: Annotated[bool, typer.Option("--structure", help="measure label futures instead of frames")] = False,
    structure_model: StructureModelOption = DEFAULT_STRUCTURE,
    segmenter: SegmenterOption = DEFAULT_SEGMENTER,
    samples: Annotated[int, typer.Option("--samples", min=1, help="label futures drawn at a time")] = 8,
    trace: Annotated[
        bool, typer.Option("--trace", help="only the node: each frame's stages as trace.json, for ui.perfetto.dev")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="measure the goals of speed and write them there")
    ] = None,
    docs: Annotated[
        Path | None, typer.Option("--docs", metavar="DIR", help="with --json: write DIR/performance.md and its plots too")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for what is measured")] = Path("out/bench"),
) -> None:
    """Measure how fast a model is on this machine.

    First every installed engine, whole and streamed, in one interleaved run and relative to torch eager. Then, where
    ROS 2 is there, a raw 1280x720 camera at 30 Hz into the node on --engine: how long each stage of a frame's way
    takes, what was lost, and the memory. Writes bench.json with host and configuration;
    with --structure bench_structure.json, with --cameras bench_cameras.json, with --trace bench_trace.json and trace.json.

    With --structure it is a forecast of label maps that is measured, from label maps that are there, and the segmenter
    that makes them beside it; the node is left out.

    With --cameras it is the node alone, with several raw 1280x720 cameras: how many forecasts a second each of them gets.

    With --json it is the goals of speed that are measured, each beside what was reached: networks of several widths on
    several engines against each other and against the machine's matrix products, the growth of cost, and the node. The
    first time it exports what it needs, which takes some minutes; with that in the cache, about five.

    Examples:

      vidpred bench

      vidpred bench --model hrp_tree_w50 --seconds 60

      vidpred bench --steps 5 --seconds 0

      vidpred bench --structure --rounds 20

      vidpred bench --json out/goals.json

      vidpred bench --trace

      vidpred bench --cameras 6
    """
    console = Console()
    if sum((structure, trace, cameras is not None, json_file is not None)) > 1:
        raise ConfigError("--structure, --trace, --cameras and --json measure different things: give one of them")
    if (trace or cameras is not None) and seconds == 0:
        raise ConfigError("--trace and --cameras need some --seconds of camera")
    if docs is not None and json_file is None:
        raise ConfigError("--docs writes what --json measures: give both")
    check_out(out if json_file is None else json_file.parent, "--out" if json_file is None else "--json in")
    if docs is not None:
        check_out(docs, "--docs")
    if not structure:
        _check_model(model)
    results: dict[str, Any] = {"command": command_line(), "date": datetime.date.today().isoformat(), **_about()}
    with _bars(console) as bars:
        told = _teller(bars)
        if json_file is not None:
            results |= _measure_goals(model, engine, steps or 1, rounds or 10, seconds, told)
        elif structure:
            results["structure"] = _measure_structure(structure_model, segmenter, steps or 5, samples, rounds or 50, told)
        elif cameras is not None:
            results["cameras"] = _measure_cameras(model, engine, steps or 1, seconds, cameras, told)
        elif trace:
            results["node"], events = _measure_node(model, engine, steps or 1, seconds, told)
        else:
            results["engines"] = _measure_engines(model, steps or 1, rounds or 50, told)
            if seconds > 0:
                try:
                    results["node"], _ = _measure_node(model, engine, steps or 1, seconds, told)
                except VidpredError as error:  # a machine without ROS 2, for one
                    results["node"] = {"error": str(error)}
    if json_file is not None:
        _write(json_file, results)
        print_goals(console, results)
        print_files(console, json_file.parent, json_file.name)
        if docs is not None:
            from vidpred_ros.bench.docs import write_docs

            for path in write_docs(results, docs):
                print_files(console, path.parent, path.name)
        return
    only = "_structure" if structure else "_cameras" if cameras is not None else "_trace" if trace else ""
    file = f"bench{only}.json"
    _write(out / file, results)
    if trace:
        (out / "trace.json").write_text(json.dumps(events))
    for name, show in (("structure", print_structure), ("engines", print_engines), ("cameras", print_cameras)):
        if name in results:
            show(console, results)
    if "node" in results:
        print_node(console, results["node"])
    print_files(console, out, file, *(["trace.json"] if trace else []))


def _check_model(model: str) -> None:
    """Raise ModelError for a baseline, and for what predicts no frames."""
    from vidpred_ros.predictors import find_frame_model

    find_frame_model(model)


def _about() -> dict[str, Any]:
    from vidpred_ros.evaluation import host

    return {"host": host.describe(), "versions": host.versions()}


def _bars(console: Console) -> Progress:
    counts = TextColumn("{task.completed:.0f}/{task.total:.0f}")
    return Progress(TextColumn("{task.description}"), BarColumn(), counts, TimeElapsedColumn(), console=console, transient=True)


def _teller(bars: Progress) -> Told:
    """A single bar that says what is being done."""
    task = bars.add_task("starting", total=1)
    return lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def _measure_goals(model: str, engine: str | None, steps: int, rounds: int, seconds: float, told: Told) -> dict[str, Any]:
    from vidpred_ros.bench.table import measure_all

    return measure_all(model, engine, steps, rounds, seconds, told)


def _measure_structure(model: str, segmenter: str, steps: int, samples: int, rounds: int, told: Told) -> dict[str, Any]:
    from vidpred_ros.bench.labels import measure_structure

    told("opening the engines", 0, rounds)
    return measure_structure(model, segmenter, steps, samples, rounds, lambda done, total: told("engines (rounds)", done, total))


def _measure_engines(model: str, steps: int, rounds: int, told: Told) -> dict[str, Any]:
    from vidpred_ros.bench.engines import measure_engines

    told("opening the engines", 0, rounds)
    return measure_engines(model, steps, rounds, lambda done, total: told("engines (rounds)", done, total))


def _measure_node(
    model: str, engine: str | None, steps: int, seconds: float, told: Told
) -> tuple[dict[str, Any], dict[str, Any]]:
    from vidpred_ros.bench.node import measure_node

    told("starting the nodes (s)", 0, seconds)
    return measure_node(model, engine, steps, seconds, lambda done, total: told("node (s)", done, total))


def _measure_cameras(model: str, engine: str | None, steps: int, seconds: float, cameras: int, told: Told) -> dict[str, Any]:
    from vidpred_ros.bench.node import measure_cameras

    told("starting the nodes (s)", 0, seconds)
    return measure_cameras(model, engine, steps, seconds, cameras, lambda done, total: told("node (s)", done, total))


def _write(file: Path, results: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
