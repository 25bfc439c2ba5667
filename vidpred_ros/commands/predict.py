"""``vidpred predict``: the future frames, or label maps, of a drive as pictures and a video."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import ExitStack, closing
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import typer
from rich.console import Console

from vidpred_ros.commands.common import (
    DEFAULT_MODEL,
    DEFAULT_PIXELS,
    DEFAULT_SEGMENTER,
    DEFAULT_STRUCTURE,
    ClassesOption,
    EdgesOption,
    EngineOption,
    ModelOption,
    SegmenterOption,
    SourceArgument,
    StepsOption,
    StructureModelOption,
    TopicOption,
    check_out,
    counted,
    frames_bar,
    print_files,
    watch,
)
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.predictors import Predictor
from vidpred_ros.window import Window

if TYPE_CHECKING:
    from vidpred_ros.commands.predict_labels import Pixels
    from vidpred_ros.segmenters import Segmenter
    from vidpred_ros.sources.base import Source

#: With more steps than this, or than the model foretells at once, label futures are not those of every window but one long one.
LONG = 30


class Propagate(Enum):
    """What a step of a long future hands to the next (Lee 2021, section 5)."""

    labels = "labels"
    rgb = "rgb"


def predict(
    source: SourceArgument,
    model: ModelOption = DEFAULT_MODEL,
    engine: EngineOption = None,
    steps: StepsOption = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="a folder that is empty or not there yet")] = Path(
        "out/predict"
    ),
    topic: TopicOption = None,
    structure: Annotated[bool, typer.Option("--structure", help="predict label maps instead of frames")] = False,
    structure_model: StructureModelOption = DEFAULT_STRUCTURE,
    segmenter: SegmenterOption = DEFAULT_SEGMENTER,
    classes: ClassesOption = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="label futures that are drawn", show_default="8, of a long future 1"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of these draws")] = 0,
    at: Annotated[
        float | None,
        typer.Option("--at", min=0, help="seconds into SOURCE where a long future begins", show_default="its last window"),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option("--pixels", help="pixel generator that makes a long future's frames", show_default=DEFAULT_PIXELS),
    ] = None,
    edges: EdgesOption = None,
    propagate: Annotated[
        Propagate, typer.Option("--propagate", help="go on from the label maps made, or from those seen in the frames made")
    ] = Propagate.labels,
) -> None:
    """Predict at every frame of SOURCE and write what the camera will see next.

    Writes frames/WINDOW_step_K.png, index.csv (which picture predicts which instant, in nanoseconds) and forecast.mp4
    with the camera and all futures side by side. A folder that holds something already is left alone.

    With --structure, label maps: labels/WINDOW_step_K.png (Cityscapes train ids), index.csv and forecast.mp4 in colours. With
    more --steps than the model foretells at once (30 at most), or --at, one long future is drawn from the prior instead: labels/, index.csv, labels.mp4, and with a
    pixel generator rgb.mp4 and, where the weights of I3D are installed, shot-wise FVD over time against the drive's own
    shots (fvd.csv, fvd.png). Its memory does not grow with its length, but for a few numbers of each shot.

    Examples:

      vidpred predict synthetic:seed=1,seconds=20

      vidpred predict drive.mp4 --model hrp_tree_w50 --steps 3 --out out/drive

      vidpred predict drive.mp4 --structure --steps 500
    """
    from vidpred_ros.evaluation.trials import no_window, windows
    from vidpred_ros.predictors import make_predictor
    from vidpred_ros.sources import open_source

    check_out(out)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"--out {out} is not an empty folder: delete it, or name another one")
    console = Console()
    at_once = min(LONG, _steps_at_once(structure_model)) if structure else LONG
    long = steps > at_once or at is not None
    if not (structure and long) and (pixels, edges, propagate, at) != (None, None, Propagate.labels, None):
        raise ConfigError(f"--at, --pixels, --edges and --propagate are of long futures: add --structure and more than {at_once} --steps")
    drive = open_source(source, topic=topic)
    if structure:
        from vidpred_ros.predictors.structure import label_size
        from vidpred_ros.segmenters import make_segmenter

        with closing(make_segmenter(segmenter, engine, classes, label_size(structure_model))) as eyes:
            if long:
                frames = (pixels, edges, propagate)
                _predict_long(drive, structure_model, eyes, engine, steps, samples or 1, seed, at, frames, out, console)
            else:
                _predict_structure(drive, structure_model, eyes, engine, steps, samples or 8, seed, out, console)
        return
    with closing(make_predictor(model, engine, steps)) as predictor:
        progress = watch(console, len(drive), "predicting")
        every = windows(drive, predictor, predictor.window_length, progress)
        first = next(every, None)
        if first is None:  # before anything is written
            raise no_window(drive, predictor, predictor.window_length)
        count = _write(chain([first], every), predictor, out)
    console.print(f"{counted(count, 'window')} of {drive.name}, {counted(steps, 'future')} each", highlight=False)
    print_files(console, out, "frames", "index.csv", "forecast.mp4")


def _steps_at_once(model: str) -> int:
    """How many steps a structure model foretells for a window."""
    from vidpred_ros.predictors.structure import find_structure

    return find_structure(model).card.network.max_steps


def _predict_structure(
    drive: Source,
    model: str,
    eyes: Segmenter,
    engine: str | None,
    steps: int,
    samples: int,
    seed: int,
    out: Path,
    console: Console,
) -> None:
    from vidpred_ros.commands.predict_labels import write_windows
    from vidpred_ros.predictors.structure import make_structure

    with closing(make_structure(model, eyes, engine, steps, samples, seed)) as predictor:
        count = write_windows(drive, predictor, out, watch(console, len(drive), "predicting"))
    console.print(f"{counted(count, 'window')} of {drive.name}, {counted(steps, 'label map')} each", highlight=False)
    print_files(console, out, "labels", "index.csv", "forecast.mp4")


def _predict_long(
    drive: Source,
    model: str,
    eyes: Segmenter,
    engine: str | None,
    steps: int,
    samples: int,
    seed: int,
    at: float | None,
    frames: tuple[str | None, str | None, Propagate],
    out: Path,
    console: Console,
) -> None:
    from vidpred_ros.commands.predict_labels import SHOT, fvd_steps, write_long_future
    from vidpred_ros.predictors.long_future import make_long_future

    with ExitStack() as stack:
        future = stack.enter_context(closing(make_long_future(model, eyes, engine, samples, seed)))
        pixels = _pixels(stack, frames, eyes, engine, samples, console)
        look = watch(console, len(drive), "looking back")

        def track(steps: range) -> Any:
            with frames_bar(console) as progress:
                yield from progress.track(steps, description="going on")

        files = write_long_future(drive, future, steps, out, pixels, at, look, track)
    if pixels and pixels.features and "fvd.png" not in files:
        least = fvd_steps(future.samples)
        console.print(f"[yellow]No shot-wise FVD:[/] it takes {least} steps or more, and two shots of {SHOT} frames in the drive")
    console.print(f"{counted(steps, 'label map')} after {drive.name}, {steps * future.period_s:.1f} s", highlight=False)
    print_files(console, out, *files)


def _pixels(
    stack: ExitStack,
    frames: tuple[str | None, str | None, Propagate],
    eyes: Segmenter,
    engine: str | None,
    samples: int,
    console: Console,
) -> Pixels | None:
    """What makes the frames of a long future; None, and said so, without a pixel generator that nobody asked for."""
    from vidpred_ros.commands.predict_labels import Pixels, i3d_or_reason
    from vidpred_ros.models import find_model
    from vidpred_ros.predictors.pixels import make_pixel_roll

    name, edges, propagate = frames
    if name is None:
        try:
            find_model(DEFAULT_PIXELS)
        except ModelError:
            if propagate is Propagate.rgb or edges:
                raise ConfigError("--propagate rgb and --edges need a pixel generator: name one as --pixels") from None
            console.print("[yellow]Label maps only:[/] no pixel generator is released here; name one as --pixels", highlight=False)
            return None
    rolls = [stack.enter_context(closing(make_pixel_roll(name or DEFAULT_PIXELS, engine, edges))) for _ in range(samples)]
    features, reason = i3d_or_reason()
    if reason:
        console.print(f"[yellow]No shot-wise FVD:[/] {reason}", highlight=False)
    return Pixels(rolls, eyes if propagate is Propagate.rgb else None, features)


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
