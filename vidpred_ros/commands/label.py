"""``vidpred label``: the label maps of a drive, as a sequence folder that training and evaluation read, or of a data set."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from vidpred_ros.commands.common import (
    DEFAULT_SEGMENTER,
    EngineOption,
    SourceArgument,
    TopicOption,
    check_out,
    print_files,
    watch,
)
from vidpred_ros.commands.label_files import RECORD, check_record, keep_record, make_record, write_picture
from vidpred_ros.errors import ConfigError

if TYPE_CHECKING:
    from vidpred_ros.segmenters import Segmenter
    from vidpred_ros.sources import Source

LABELS, FRAMES, META = "labels_pseudo", "frames", "meta.json"
#: A few label maps to look at, among them.
OVERVIEW = "overview.jpg"  # no PNG, which would be a label map
SAME = ("segmenter", "weights_sha256", "source", "frames")


def label(
    source: SourceArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="the sequence folder; SOURCE itself adds to it", show_default=False)
    ] = None,
    segmenter: Annotated[
        str, typer.Option("--segmenter", "-s", help="released segmenter (name or folder), or a network of your own (.onnx)")
    ] = DEFAULT_SEGMENTER,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="class table (YAML) of an .onnx network", show_default=False)
    ] = None,
    engine: EngineOption = None,
    topic: TopicOption = None,
) -> None:
    """Segment every frame of SOURCE and write a sequence folder with its label maps (Cityscapes train ids).

    Writes labels_pseudo/NAME.png (8-bit grey, as large as the frame, 255 = no class), with an overview.jpg, into --out, and
    meta.json and frames/ where they are not there. The frames of a folder are not copied: frames/ is then a link to them, and
    nothing but labels_pseudo/ is added to a folder that holds SOURCE's images already. Started again, it goes on where it
    stopped.

    A data set as downloaded is labelled as a whole, or a split of it (?split=val), without --out: KITTI raw into
    image_02/labels_pseudo/ beside image_02/data/, Cityscapes into labels_pseudo/ beside leftImg8bit_sequence/.

    Examples:

      vidpred label drive.mcap --topic /camera/image_raw --out sequences/drive

      vidpred label sequences/drive --out sequences/drive

      vidpred label drive.mp4 --out drive/ --segmenter my.onnx --classes my.yaml

      vidpred label cityscapes:/data/cityscapes

      vidpred label "kitti_raw:/data/kitti?camera=image_02"
    """
    from vidpred_ros.evaluation.datasets import is_data_set
    from vidpred_ros.segmenters import make_segmenter
    from vidpred_ros.segmenters.whole_frame import label_whole_frame
    from vidpred_ros.sources import open_source

    console = Console()
    if is_data_set(source):
        from vidpred_ros.commands.label_data_set import find_frames, label_data_set

        if (out, topic) != (None, None):
            raise ConfigError(f"{source} is labelled where it lies: leave --out and --topic out")
        found = find_frames(source, console)
        with closing(make_segmenter(segmenter, engine, classes)) as network:
            label_data_set(found, network, console)
        return
    if out is None:
        raise ConfigError("--out is missing: the sequence folder that the label maps go into")
    check_out(out)
    drive = open_source(source, topic=topic)
    with closing(make_segmenter(segmenter, engine, classes)) as network:
        names, writes_frames = _prepare(out, drive, network)
        made, pictures = 0, np.unique(np.linspace(0, len(drive) - 1, min(6, len(drive))).round().astype(int))
        shown: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        for index, frame in enumerate(watch(console, len(drive), "labelling")(drive)):
            file = out / LABELS / f"{names[index]}.png"
            if writes_frames and not (picture := out / FRAMES / f"{names[index]}.jpg").is_file():
                write_picture(picture, cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
            labels = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) if file.is_file() else None
            if labels is None:
                labels = label_whole_frame(network, frame.image)
                write_picture(file, labels)
                made += 1
            if index in pictures:
                shown.append((frame.image, labels.astype(np.uint8)))
        write_picture(out / LABELS / OVERVIEW, cv2.cvtColor(_overview(shown), cv2.COLOR_RGB2BGR))
    console.print(f"{made} of {len(drive)} frames labelled by {network.name} ({network.engine})", highlight=False)
    print_files(console, out / LABELS, "", OVERVIEW)


def _prepare(out: Path, drive: Source, segmenter: Segmenter) -> tuple[list[str], bool]:
    """Make the folder, or check that it is of the same frames and segmenter. Names of the frames, whether to write them."""
    from vidpred_ros.sources.folder import FolderSource

    files = drive.files if isinstance(drive, FolderSource) else []
    names = [file.stem for file in files] or [f"{i:06d}" for i in range(len(drive))]
    inside = bool(files) and out.resolve() in (files[0].parent.resolve(), files[0].parent.resolve().parent)
    advice, there = "delete it, or name another --out", out / LABELS
    record = make_record(segmenter, str(files[0].parent.resolve()) if files else drive.name, len(drive))
    check_record(there, record, SAME, advice)
    if (there / RECORD).is_file():
        return names, not files
    if not inside and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is not an empty folder: {advice}")
    out.mkdir(parents=True, exist_ok=True)
    if not inside:
        if files:
            (out / FRAMES).symlink_to(os.path.relpath(files[0].parent.resolve(), out.resolve()))
        else:
            (out / FRAMES).mkdir()
        meta = {"name": out.resolve().name, "fps": drive.rate_hz, "frame_count": len(drive), "source": drive.name}
        (out / META).write_text(json.dumps(meta, indent=1) + "\n")
    keep_record(there, record)
    return names, not files


def _overview(shown: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Frames beside their labels in Cityscapes' colours, one below the other (uint8 RGB)."""
    from vidpred_ros.preprocess import resize
    from vidpred_ros.semantics import colorize

    rows = []
    for image, labels in shown:
        size = (max(1, round(512 * image.shape[0] / image.shape[1])), 512)
        small = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
        rows.append(np.hstack([resize(image, size), colorize(small)]))
    return np.vstack(rows)
