"""``vidpred demo``: camera, predictor and evaluation in a real ROS 2 graph, and a report of what they did."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

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
    TopicOption,
    command_line,
    print_files,
    print_label_scores,
    print_scores,
)
from vidpred_ros.errors import ModelError, VidpredError


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
    structure_model: Annotated[str, typer.Option("--structure-model", help="the model of label maps")] = DEFAULT_STRUCTURE,
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
    from vidpred_ros.segmenters import make_segmenter
    from vidpred_ros.sources import open_source

    console = Console()
    why_not = why_no_structure(structure_model, segmenter) if structure is None else ""
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
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting the nodes", total=seconds)

        def show(done: float, total: float) -> None:
            text = "camera, predictor and evaluation are running" if done > 0 else "starting the nodes"
            progress.update(task, completed=done, total=total, description=text)

        recording = run_demo_graph(source, model, engine, steps, seconds, out, show, topic, lane)
    with console.status("scoring what was predicted and writing the report"), ExitStack() as opened:
        eyes = opened.enter_context(closing(make_segmenter(segmenter, engine))) if lane else None
        try:
            results = report_demo(drive, recording, model, out, command_line(), eyes, structure_model)
        except VidpredError as error:
            if structure or lane is None:
                raise
            console.print(f"label maps are left out: {error}", highlight=False, soft_wrap=True)
            lane = None  # nobody has asked for them, so the frames' report will do
            results = report_demo(drive, recording, model, out, command_line())
    print_scores(console, results)
    if lane:
        print_label_scores(console, results)
    for name, value in results["transport"].items():
        console.print(f"{name.replace('_', ' ')}: {value}", highlight=False)
    labels = ("labels.mp4", "labels.png") if lane else ()
    print_files(console, out, "metrics.json", *labels, "forecast.mp4", "filmstrip.png", "report.html")


def why_no_structure(structure_model: str, segmenter: str) -> str:
    """Why the demo leaves label maps out on this machine unless it is told otherwise; empty if it does not."""
    from vidpred_ros.models import find_model
    from vidpred_ros.predictors.label_baselines import LABEL_BASELINES

    if len(os.sched_getaffinity(0)) < 2:
        return "this machine has one CPU core, which the frames need (--structure asks for them all the same)"
    try:
        for name in (structure_model, segmenter):
            if name not in LABEL_BASELINES:
                find_model(name)
    except ModelError as error:
        return str(error)
    return ""
