"""``vidpred demo``: camera, predictor and evaluation in a real ROS 2 graph, and a report of what they did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    DEFAULT_SEGMENTER,
    DEFAULT_STRUCTURE,
    EngineOption,
    ModelOption,
    StepsOption,
    StructureModelOption,
    TopicOption,
    command_line,
    print_label_scores,
    print_scores,
    report_folder,
)
from vidpred_ros.errors import ConfigError, VidpredError

#: What the graph leaves in --out beside the report.
KEPT = ("recording", "recording.part", "log")
#: Of the parameter steps of the predictor node, which this command does not import.
MOST_STEPS = 20


def demo(
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "-s",
            help="what the camera shows; as for `vidpred evaluate`",
            show_default="a synthetic drive",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=3, help="of camera time")] = 20,
    model: ModelOption = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: StepsOption = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the report")] = Path("out/demo"),
    topic: TopicOption = None,
    structure: Annotated[
        bool | None,
        typer.Option("--structure/--no-structure", help="predict label maps too", show_default="where this machine can"),
    ] = None,
    structure_model: StructureModelOption = DEFAULT_STRUCTURE,
    segmenter: Annotated[str, typer.Option("--segmenter", help="of its label maps")] = DEFAULT_SEGMENTER,
) -> None:
    """Run a camera, the predictor and an evaluation subscriber as three processes in a real ROS 2 graph, in real time.

    Ends with the scores of what the predictor published, how long each frame took, and how many were lost between the
    nodes. Writes report.html, filmstrip.png, forecast.mp4, metrics.json, the recording and the nodes' logs into --out, and
    with label maps label_scores.csv, labels.png and labels.mp4. Needs ROS 2: a sourced installation, or the wheels that
    `make demo` installs.

    Examples:

      vidpred demo

      vidpred demo --source drive.mp4 --model hrp_tree_w50 --seconds 60
    """
    from vidpred_ros.evaluation.demo import report_demo
    from vidpred_ros.nodes.demo import run_demo_graph
    from vidpred_ros.predictors.structure import label_size
    from vidpred_ros.segmenters import make_segmenter
    from vidpred_ros.sources import open_source

    console = Console()
    check_model(model, steps)
    if structure:
        check_lane(structure_model, segmenter, steps)
    why_not = why_no_structure(structure_model, segmenter, steps) if structure is None else ""
    if why_not:
        console.print(f"label maps are left out: {why_not}", highlight=False, soft_wrap=True)
    wanted = not why_not if structure is None else structure
    lane = {"structure_model": structure_model, "segmenter": segmenter} if wanted else None
    source = source or f"synthetic:seed=1,seconds={seconds:g}"
    drive = open_source(source, topic=topic)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
    )
    with report_folder(out, beside=KEPT) as folder:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            starting = "starting the nodes (the first time also their engines are made: a minute)"
            task = progress.add_task(starting, total=seconds)

            def show(done: float, total: float) -> None:
                text = "camera, predictor and evaluation are running" if done > 0 else starting
                progress.update(task, completed=done, total=total, description=text)

            recording = run_demo_graph(source, model, engine, steps, seconds, out, show, topic, lane)
        with console.status("scoring what was predicted and writing the report"), ExitStack() as opened:
            eyes = None
            if lane:
                eyes = make_segmenter(segmenter, engine, label_size=label_size(structure_model))
                opened.callback(eyes.close)
            try:
                results = report_demo(drive, recording, model, folder, command_line(), eyes, structure_model)
            except VidpredError as error:
                if structure or lane is None:
                    raise
                console.print(f"label maps are left out: {error}", highlight=False, soft_wrap=True)
                lane = None  # nobody has asked for them, so the frames' report will do
                results = report_demo(drive, recording, model, folder, command_line())
    print_scores(console, results)
    if lane:
        print_label_scores(console, results)
    for name, value in results["transport"].items():
        console.print(f"{name.replace('_', ' ')}: {value}", highlight=False)
    print_slowness(console, results, wanted)
    print_pictures(console, out, bool(lane))


def check_model(model: str, steps: int) -> None:
    """Raise VidpredError for a model or steps that the predictor node would refuse, before any node is started."""
    from vidpred_ros.predictors import BASELINES, find_frame_model
    from vidpred_ros.predictors.base import check_steps

    if steps > MOST_STEPS:
        raise ConfigError(f"--steps {steps}: the predictor node has {MOST_STEPS} at most")
    if model not in BASELINES:
        released = find_frame_model(model)
        check_steps(released.card, steps)
        _ = released.verified_weights


def print_slowness(console: Console, results: Mapping[str, Any], labels: bool) -> None:
    """Whether the machine kept up with the camera, if it did not."""
    skipped, made = (results["transport"][key] for key in ("windows_skipped", "forecasts_announced"))
    if skipped:
        advice = "; --no-structure helps" if labels else ""
        console.print(f"[yellow]slower than the camera:[/] {skipped} of {skipped + made} windows skipped{advice}", highlight=False)


def print_pictures(console: Console, out: Path, labels: bool) -> None:
    """What was written, and what to open first."""
    of_labels = {"labels.mp4": "the drive with its label maps", "labels.png": "label maps of one moment"} if labels else {}
    pictures = {
        "metrics.json": "the numbers",
        **of_labels,
        "forecast.mp4": "the drive, what was predicted and what happened",
        "filmstrip.png": "one moment: what was predicted and what happened",
        "report.html": "all of it on one page: open this first",
    }
    width = max(len(str(out / name)) for name in pictures)
    for name, what in pictures.items():
        console.print(f"{out / name!s:{width}}  [dim]{what}[/]", soft_wrap=True, highlight=False)


def why_no_structure(structure_model: str, segmenter: str, steps: int) -> str:
    """Why the demo leaves label maps out on this machine unless it is told otherwise; empty if it does not."""
    if len(os.sched_getaffinity(0)) < 2:
        return "this machine has one CPU core, which the frames need (--structure asks for them all the same)"
    try:
        check_lane(structure_model, segmenter, steps)
    except VidpredError as error:
        return str(error)
    return ""


def check_lane(structure_model: str, segmenter: str, steps: int) -> None:
    """Raise VidpredError for what the lane of label maps would refuse."""
    from vidpred_ros.models import find_model
    from vidpred_ros.predictors.base import check_steps
    from vidpred_ros.predictors.label_baselines import LABEL_BASELINES
    from vidpred_ros.predictors.structure import find_structure

    if structure_model not in LABEL_BASELINES:
        check_steps(find_structure(structure_model).card, steps)
    find_model(segmenter, ["segmenter"])
