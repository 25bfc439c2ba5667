"""``vidpred demo``: camera, predictor and evaluation in a real ROS 2 graph, and a report of what they did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    EngineOption,
    ModelOption,
    StepsOption,
    TopicOption,
    command_line,
    print_files,
    print_scores,
)


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
) -> None:
    """Run a camera, the predictor and an evaluation subscriber as three processes in a real ROS 2 graph, in real time.

    Ends with the scores of what the predictor published, how long each frame took, and how many were lost between the
    nodes. Writes report.html, filmstrip.png, forecast.mp4, metrics.json, the recording and the nodes' logs into --out.
    Needs ROS 2: a sourced installation, or the wheels that `make demo` installs.

    Examples:

      vidpred demo

      vidpred demo --source drive.mp4 --model hrp_tree_w50 --seconds 60
    """
    from vidpred_ros.evaluation.demo import report_demo
    from vidpred_ros.nodes.demo import run_demo_graph
    from vidpred_ros.sources import open_source

    console = Console()
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

        recording = run_demo_graph(source, model, engine, steps, seconds, out, show, topic)
    with console.status("scoring what was predicted and writing the report"):
        results = report_demo(drive, recording, model, out, command_line())
    print_scores(console, results)
    for name, value in results["transport"].items():
        console.print(f"{name.replace('_', ' ')}: {value}", highlight=False)
    print_files(console, out, "metrics.json", "forecast.mp4", "filmstrip.png", "report.html")
