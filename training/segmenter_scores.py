"""Score a segmenter on labelled sequences, class by class: `python -m training.segmenter_scores segmenter_lite0 SEQUENCE...`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from training.datasets.label_clips import check_frames
from training.datasets.labels import LabelledSequence, open_labelled
from training.readme import write_readme
from training.scores import class_table, set_scores
from vidpred_ros.engines.choice import EngineChoice
from vidpred_ros.errors import VidpredError
from vidpred_ros.metrics.segmentation import ConfusionMatrix
from vidpred_ros.models import find_model
from vidpred_ros.preprocess import crop_and_resize, crop_and_resize_labels
from vidpred_ros.segmenters import Segmenter, make_segmenter
from vidpred_ros.semantics import CLASS_NAMES

#: What each kind of label map is worth, for the head of the table.
KINDS = {"labels": "its data set's labels", "pseudo": "pseudo labels", "exact": "exact labels"}


def measure(segmenter: Segmenter, sequence: LabelledSequence) -> ConfusionMatrix:
    """Every labelled frame, centre-cropped to the segmenter's shape, against its label map (nearest neighbour)."""
    matrix = ConfusionMatrix()
    assert sequence.frames is not None  # ``check_frames``
    for i in np.flatnonzero(sequence.labelled):
        found = segmenter.segment(crop_and_resize(np.asarray(sequence.frames[i]), segmenter.size))
        matrix.update(crop_and_resize_labels(np.asarray(sequence.labels[i]), segmenter.size), found)
    return matrix


def entry(sequence: LabelledSequence, matrix: ConfusionMatrix, engine: str) -> dict[str, Any]:
    """What a card says of one sequence: mIoU, and of each class that occurs its IoU and its per cent of the pixels."""
    iou, total = matrix.iou(), max(1, matrix.counts.sum())
    there = [(c, name) for c, name in enumerate(CLASS_NAMES) if matrix.occurs[c]]
    return {
        "source": Path(sequence.name).name,
        **{metric: None if value is None else round(value, 4) for metric, value in matrix.scores().items()},
        "iou": {name: round(float(iou[c]), 4) for c, name in there},
        "per_cent": {name: float(f"{100 * matrix.counts[c].sum() / total:.3g}") for c, name in there},
        "frames": int(sequence.labelled.sum()),
        "against": KINDS[sequence.kind],
        "engine": engine,
        "data_sha256": sequence.key[:16],
    }


def main(
    segmenter: Annotated[str, typer.Argument(help="a released segmenter, by name or folder, or an .onnx file")],
    sequences: Annotated[list[str], typer.Argument(help="labelled SOURCEs and data sets, as in a recipe")],
    classes: Annotated[Path | None, typer.Option(help="class table (YAML) of an .onnx file")] = None,
    engine: Annotated[str | None, typer.Option(help="openvino, onnxruntime or torch")] = None,
    precision: Annotated[str | None, typer.Option(help="of the engine: fp32, bf16 or int8")] = None,
    split: Annotated[str, typer.Option(help="of data sets: train, val or test")] = "val",
    card: Annotated[bool, typer.Option("--card", help="write them into the model's card and README too")] = False,
) -> None:
    """Print the IoU of every class on each sequence, as Markdown: every labelled frame, cropped to the network's shape.

    Example: python -m training.segmenter_scores segmenter_lite0 /data/cityscapes_aachen_4 /data/camvid_b
    """
    try:
        opened = open_labelled(sequences, split)
        check_frames(opened, "a segmenter needs them")
        with closing(make_segmenter(segmenter, EngineChoice(engine, precision), classes)) as network:
            scores = [entry(sequence, measure(network, sequence), network.engine) for sequence in opened]
            print(f"{network.name}, {network.engine}, {network.size[1]}x{network.size[0]}\n\n{class_table(scores)}")
        if card:
            folder = find_model(segmenter).folder
            set_scores(folder, scores)
            write_readme(folder)
    except VidpredError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
