"""Score a segmenter on labelled sequences, class by class: `python -m training.segmenter_scores segmenter_lite0 SEQUENCE...`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from training.datasets.label_clips import check_frames
from training.datasets.labels import LabelledSequence, open_labelled
from vidpred_ros.errors import VidpredError
from vidpred_ros.metrics.segmentation import ConfusionMatrix
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


def table(columns: Mapping[str, ConfusionMatrix]) -> str:
    """A Markdown table: a row for each class with its IoU and, in brackets, its per cent of the pixels; then the means."""
    lines = ["| class | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for c, name in enumerate(CLASS_NAMES):
        cells = []
        for matrix in columns.values():
            share = 100 * matrix.counts[c].sum() / max(1, matrix.counts.sum())
            cells.append(f"{matrix.iou()[c]:.2f} ({share:.2g} %)" if matrix.occurs[c] else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for title, metric in (("mIoU", "miou"), ("mIoU, moving classes", "miou_moving")):
        values = [matrix.scores()[metric] for matrix in columns.values()]
        lines.append(f"| {title} | " + " | ".join("–" if v is None else f"**{v:.3f}**" for v in values) + " |")
    return "\n".join(lines)


def main(
    segmenter: Annotated[str, typer.Argument(help="a released segmenter, by name or folder, or an .onnx file")],
    sequences: Annotated[list[str], typer.Argument(help="labelled SOURCEs and data sets, as in a recipe")],
    classes: Annotated[Path | None, typer.Option(help="class table (YAML) of an .onnx file")] = None,
    engine: Annotated[str | None, typer.Option(help="openvino, onnxruntime or torch")] = None,
    split: Annotated[str, typer.Option(help="of data sets: train, val or test")] = "val",
) -> None:
    """Print the IoU of every class on each sequence, as Markdown.

    Example: python -m training.segmenter_scores segmenter_lite0 /data/cityscapes_aachen_4 /data/camvid_b
    """
    try:
        opened = open_labelled(sequences, split)
        check_frames(opened, "a segmenter needs them")
        with closing(make_segmenter(segmenter, engine, classes)) as network:
            columns = {f"{Path(s.name).name} ({len(s)} frames, {KINDS[s.kind]})": measure(network, s) for s in opened}
            print(f"{network.name}, {network.engine}, {network.size[1]}x{network.size[0]}\n\n{table(columns)}")
    except VidpredError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
