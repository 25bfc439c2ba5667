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
    samples: Annotated[
        int, typer.Option("--samples", min=0, help="score the best of so many draws too (stochastic models)")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of these draws")] = 0,
) -> None:
    """Replay SOURCE frame by frame, predict at every frame, and score against what then happened.

    Writes metrics.json, scores.csv, report.html, filmstrip.png and forecast.mp4 into --out. No frame is lost however
    slow the model is, and a camera faster than the model is scored at every phase of its stride. Copying the last frame
    and optical flow are scored on the same windows.

    Examples:

      vidpred evaluate synthetic:seed=1,seconds=20

      vidpred evaluate drive.mcap --topic /camera/image_raw --model hrp_tree_w50

      vidpred evaluate kitti_sequence/ --model optical_flow --steps 10 --out out/flow
    """
    from vidpred_ros.evaluation.run import evaluate as run
    from vidpred_ros.evaluation.trials import phases
    from vidpred_ros.predictors import make_predictor
    from vidpred_ros.sources import open_source

    console = Console()
    drive = open_source(source, topic=topic)
    predictor = make_predictor(model, engine, steps)
    total = len(drive) * phases(drive, predictor.period_s)
    try:
        results = run(drive, predictor, out, command_line(), watch(console, total, "evaluating"), samples, seed)
    finally:
        predictor.close()
    print_scores(console, results)
    print_files(console, out, "metrics.json", "forecast.mp4", "filmstrip.png", "report.html")
