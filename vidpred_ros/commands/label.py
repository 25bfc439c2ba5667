"""``vidpred label``: the label maps of a drive, as a sequence folder that training and evaluation read."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    print_files,
    watch,
)
from vidpred_ros.errors import ConfigError

if TYPE_CHECKING:
    from vidpred_ros.segmenters import Segmenter
    from vidpred_ros.sources import Source

LABELS, FRAMES, META = "labels_pseudo", "frames", "meta.json"
#: Among the label maps: who made them (another segmenter must not go on where one stopped), and a few to look at.
RECORD, OVERVIEW = "segmenter.json", "overview.jpg"  # no PNG, which would be a label map
SAME = ("segmenter", "weights_sha256", "source", "frames")
#: Frames that are written here are JPEG of this quality.
QUALITY = 95


def label(
    source: SourceArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="the sequence folder; SOURCE itself adds to it", show_default=False)],
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

    Examples:

      vidpred label drive.mcap --topic /camera/image_raw --out sequences/drive

      vidpred label sequences/drive --out sequences/drive

      vidpred label 2011_09_26/2011_09_26_drive_0001_sync/image_02/data --out 2011_09_26/2011_09_26_drive_0001_sync/image_02

      vidpred label drive.mp4 --out sequences/drive --segmenter my_network.onnx --classes my_classes.yaml
    """
    from vidpred_ros.segmenters import make_segmenter
    from vidpred_ros.segmenters.whole_frame import label_whole_frame
    from vidpred_ros.sources import open_source

    console = Console()
    drive = open_source(source, topic=topic)
    with closing(make_segmenter(segmenter, engine, classes)) as network:
        names, writes_frames = _prepare(out, drive, network)
        made, pictures = 0, np.unique(np.linspace(0, len(drive) - 1, min(6, len(drive))).round().astype(int))
        shown: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        for index, frame in enumerate(watch(console, len(drive), "labelling")(drive)):
            file = out / LABELS / f"{names[index]}.png"
            if writes_frames and not (picture := out / FRAMES / f"{names[index]}.jpg").is_file():
                _write(picture, cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
            labels = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) if file.is_file() else None
            if labels is None:
                labels = label_whole_frame(network, frame.image)
                _write(file, labels)
                made += 1
            if index in pictures:
                shown.append((frame.image, labels.astype(np.uint8)))
        _write(out / LABELS / OVERVIEW, cv2.cvtColor(_overview(shown), cv2.COLOR_RGB2BGR))
    console.print(f"{made} of {len(drive)} frames labelled by {network.name} ({network.engine})", highlight=False)
    print_files(console, out / LABELS, "", OVERVIEW)


def _prepare(out: Path, drive: Source, segmenter: Segmenter) -> tuple[list[str], bool]:
    """Make the folder, or check that it is of the same frames and segmenter. Names of the frames, whether to write them."""
    from vidpred_ros.sources.folder import FolderSource

    files = drive.files if isinstance(drive, FolderSource) else []
    names = [file.stem for file in files] or [f"{i:06d}" for i in range(len(drive))]
    inside = bool(files) and out.resolve() in (files[0].parent.resolve(), files[0].parent.resolve().parent)
    record: dict[str, Any] = {
        "segmenter": segmenter.name,
        "weights_sha256": segmenter.weights_sha256,
        "engine": segmenter.engine,
        "classes": "Cityscapes train ids",
        "ignore": 255,
        "source": str(files[0].parent.resolve()) if files else drive.name,
        "frames": len(drive),
    }
    there = out / LABELS / RECORD
    if there.is_file():
        before = json.loads(there.read_text())
        other = [f"{key} {before.get(key)}, now {record[key]}" for key in SAME if before.get(key) != record[key]]
        if other:
            raise ConfigError(f"{out / LABELS} was made of something else ({'; '.join(other)}): delete it, or name another --out")
        return names, not files
    if (out / LABELS).exists() or (not inside and out.exists() and (not out.is_dir() or any(out.iterdir()))):
        what = f"{out / LABELS} holds label maps of unknown origin" if (out / LABELS).exists() else f"--out {out} is not an empty folder"
        raise ConfigError(f"{what}: delete it, or name another --out")
    out.mkdir(parents=True, exist_ok=True)
    if not inside:
        if files:
            (out / FRAMES).symlink_to(os.path.relpath(files[0].parent.resolve(), out.resolve()))
        else:
            (out / FRAMES).mkdir()
        meta = {"name": out.resolve().name, "fps": drive.rate_hz, "frame_count": len(drive), "source": drive.name}
        (out / META).write_text(json.dumps(meta, indent=1) + "\n")
    (out / LABELS).mkdir()
    there.write_text(json.dumps(record, indent=1) + "\n")
    return names, not files


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    """A picture that is whole or not there, so that a run that was killed can go on."""
    part = path.with_name(f".{path.name}.part")
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if path.suffix == ".jpg" else []
    part.write_bytes(cv2.imencode(path.suffix, picture, options)[1].tobytes())
    part.replace(path)


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
