"""``vidpred evaluate``: score a model on a drive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    EngineOption,
    ModelOption,
    SourceArgument,
    StepsOption,
    TopicOption,
    command_line,
    print_files,
    print_scores,
    watch,
)


def evaluate(
    source: SourceArgument,
    model: ModelOption = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: StepsOption = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the report")] = Path("out/evaluate"),
    topic: TopicOption = None,
) -> None:
    """Replay SOURCE frame by frame, predict at every frame, and score against what then happened.

    Writes metrics.json, scores.csv, report.html, filmstrip.png and forecast.mp4 into --out. No frame is lost however
    slow the model is. Copying the last frame and optical flow are scored on the same windows.

    Examples:

      vidpred evaluate synthetic:seed=1,seconds=20

      vidpred evaluate drive.mcap --topic /camera/image_raw --model hrp_tree_w50

      vidpred evaluate kitti_sequence/ --model optical_flow --steps 3 --out out/flow
    """
    from vidpred_ros.evaluation.run import evaluate as run
    from vidpred_ros.predictors import make_predictor
    from vidpred_ros.sources import open_source

    console = Console()
    drive = open_source(source, topic=topic)
    predictor = make_predictor(model, engine, steps)
    try:
        results = run(drive, predictor, out, command_line(), watch(console, len(drive), "evaluating"))
    finally:
        predictor.close()
    print_scores(console, results)
    print_files(console, out, "metrics.json", "forecast.mp4", "filmstrip.png", "report.html")
