"""``vidpred predict``: the future frames of a drive as pictures and a video."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    EngineOption,
    ModelOption,
    SourceArgument,
    StepsOption,
    TopicOption,
    print_files,
    watch,
)
from vidpred_ros.errors import ConfigError
from vidpred_ros.predictors import Predictor
from vidpred_ros.window import Window


def predict(
    source: SourceArgument,
    model: ModelOption = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: StepsOption = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="a folder that is empty or not there yet")] = Path(
        "out/predict"
    ),
    topic: TopicOption = None,
) -> None:
    """Predict at every frame of SOURCE and write what the camera will see next.

    Writes frames/WINDOW_step_K.png, index.csv (which picture predicts which instant, in nanoseconds) and forecast.mp4
    with the camera and all futures side by side. A folder that holds something already is left alone.

    Examples:

      vidpred predict synthetic:seed=1,seconds=20

      vidpred predict drive.mp4 --model hrp_tree_w50 --steps 3 --out out/drive
    """
    from vidpred_ros.evaluation.trials import no_window, windows
    from vidpred_ros.predictors import make_predictor
    from vidpred_ros.sources import open_source

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is not an empty folder: delete it, or name another one")
    console = Console()
    drive = open_source(source, topic=topic)
    with closing(make_predictor(model, engine, steps)) as predictor:
        progress = watch(console, len(drive), "predicting")
        every = windows(drive, predictor, predictor.window_length, progress)
        first = next(every, None)
        if first is None:  # before anything is written
            raise no_window(drive, predictor, predictor.window_length)
        count = _write(chain([first], every), predictor, out)
    console.print(f"{count} windows of {drive.name}, {steps} futures each", highlight=False)
    print_files(console, out, "frames", "index.csv", "forecast.mp4")


def _write(every: Iterable[Window], predictor: Predictor, out: Path) -> int:
    """Predict on each window and write pictures, index and video. Returns the number of windows."""
    from vidpred_ros.evaluation.trials import stack_frames
    from vidpred_ros.evaluation.video import SideBySide

    pictures = out / "frames"
    pictures.mkdir(parents=True)
    titles = ["camera now", *(f"+{k * predictor.period_s:.2g} s" for k in range(1, predictor.steps + 1))]
    count = 0
    with (
        closing(SideBySide(out / "forecast.mp4", titles, predictor.period_s)) as video,
        (out / "index.csv").open("w", newline="") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(["file", "source_stamp_ns", "step", "stamp_ns"])
        for window in every:
            forecast = predictor.predict(window)
            frames = stack_frames(forecast)
            video.add((window.frames[-1], *frames))
            for horizon, frame in zip(forecast.horizons, frames, strict=True):
                name = f"{count:06d}_step_{horizon.step}.png"
                cv2.imwrite(str(pictures / name), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                rows.writerow([f"frames/{name}", forecast.source_stamp_ns, horizon.step, horizon.stamp_ns])
            count += 1
    return count
