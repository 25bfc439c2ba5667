"""Score a pixel generator on labelled sequences: `python -m training.pixel_scores hvp_pixels_slim SEQUENCE... --card`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from training.datasets.label_clips import check_frames
from training.datasets.labels import LabelledSequence, open_labelled
from training.readme import write_readme
from training.scores import HEADLINE, set_scores
from vidpred_ros.errors import SourceError, VidpredError
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.models import find_model
from vidpred_ros.predictors.pixels import PixelRoll, make_pixel_roll
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.window import stride_for

#: Windows of each sequence that are scored, evenly spread.
WINDOWS = 12


def measure(
    roll: PixelRoll, sequence: LabelledSequence, period_s: float, steps: int
) -> tuple[list[dict[str, dict[str, float]]], int]:
    """Mean SSIM, PSNR and LPIPS at each step, of frames rolled on with the true label maps ("roll") and of the last true frame
    ("copy_last"), and the number of windows. Raises SourceError for a sequence that holds none."""
    stride, metrics = stride_for(sequence.rate_hz, period_s), FrameMetrics()
    span = (roll.past + steps - 1) * stride + 1
    starts = [first for run in sequence.runs() for first in range(run.first, run.first + run.length - span + 1)]
    if not starts:
        raise SourceError(f"{sequence.name}: nowhere {span} labelled frames in a row, which {steps} steps need")
    chosen = [starts[i] for i in np.unique(np.linspace(0, len(starts) - 1, WINDOWS).round().astype(int))]
    each: list[dict[str, list[dict[str, float | None]]]] = []
    for first in chosen:
        which = range(first, first + span, stride)
        assert sequence.frames is not None  # ``check_frames``
        frames = [crop_and_resize(np.asarray(sequence.frames[i]), roll.size) for i in which]
        labels = [crop_and_resize_labels(np.asarray(sequence.labels[i]), roll.size) for i in which]
        roll.start(frames[: roll.past], labels[: roll.past])
        made, true = np.stack(list(roll.roll(labels[roll.past :]))), np.stack(frames[roll.past :])
        last: NDArray[np.uint8] = np.broadcast_to(frames[roll.past - 1], true.shape)
        each.append({"roll": metrics(made, true), "copy_last": metrics(last, true)})
    means = [
        {name: {m: float(np.mean([one[name][k][m] for one in each])) for m in HEADLINE} for name in ("roll", "copy_last")}
        for k in range(steps)
    ]
    return means, len(chosen)


def main(
    model: Annotated[str, typer.Argument(help="a released pixel generator, by name or folder")],
    sequences: Annotated[list[str], typer.Argument(help="labelled SOURCEs and data sets, as in a recipe")],
    steps: Annotated[int, typer.Option("--steps", "-k", min=1, help="frames that are rolled on")] = 5,
    edges: Annotated[str | None, typer.Option(help="edge generator, for a model that takes boundaries")] = None,
    engine: Annotated[str | None, typer.Option(help="openvino, onnxruntime or torch")] = None,
    split: Annotated[str, typer.Option(help="of data sets: train, val or test")] = "val",
    card: Annotated[bool, typer.Option("--card", help="write them into the model's card and README too")] = False,
) -> None:
    """Print SSIM, PSNR and LPIPS of frames that are made from true label maps, one after the other, and of the last frame.

    Example: python -m training.pixel_scores hvp_pixels_slim /data/cityscapes_aachen_4 --card
    """
    try:
        opened, released = open_labelled(sequences, split, consecutive=True), find_model(model)
        check_frames(opened, "a pixel generator's frames are compared with them")
        entries: list[dict[str, Any]] = []
        with closing(make_pixel_roll(model, engine, edges)) as roll:
            for sequence in opened:
                period = released.card.period
                means, windows = measure(roll, sequence, period, steps)
                seconds = stride_for(sequence.rate_hz, period) / sequence.rate_hz
                for k in sorted({1, (steps + 1) // 2, steps}):
                    values = means[k - 1]
                    entry = {"source": Path(sequence.name).name, "step": k, "seconds": round(k * seconds, 3)}
                    entry |= {m: round(values["roll"][m], 4) for m in HEADLINE}
                    entry["copy_last"] = " / ".join(f"{values['copy_last'][m]:.4g}" for m in HEADLINE)
                    entries.append(entry | {"windows": windows, "engine": roll.engine, "data_sha256": sequence.key[:16]})
                    print({key: value for key, value in entries[-1].items() if key != "data_sha256"})
        if card:
            set_scores(released.folder, entries)
            write_readme(released.folder)
    except VidpredError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
