"""What several commands share: the folder that they write into, progress over frames, the table of scores."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from vidpred_ros.errors import ConfigError

DEFAULT_MODEL = "hrp_tree_w25"
DEFAULT_SEGMENTER = "segmenter_lite0"
DEFAULT_STRUCTURE = "hvp_structure_slim"
DEFAULT_PIXELS = "hvp_pixels_slim"

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="rosbag2 folder, .mcap or .db3; video file; folder of images; or synthetic:seed=1,seconds=20",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="name (see `vidpred models`) or folder; copy_last and optical_flow too"
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", "-e", help="tensorrt, tensorrt_rtx, torch, openvino or onnxruntime", show_default="the best here"),
]
StepsOption = Annotated[int, typer.Option("--steps", "-k", min=1, help="future frames of each prediction")]
StructureModelOption = Annotated[
    str, typer.Option("--structure-model", help="the model of label maps, by name or folder")
]
SegmenterOption = Annotated[
    str, typer.Option("--segmenter", help="of its context: a released segmenter, or a network of your own (.onnx)")
]
ClassesOption = Annotated[
    Path | None, typer.Option("--classes", help="class table (YAML) of an .onnx segmenter", show_default=False)
]
EdgesOption = Annotated[
    str | None, typer.Option("--edges", help="edge generator, for a pixel generator that takes boundaries", show_default=False)
]
TopicOption = Annotated[
    str | None, typer.Option("--topic", help="image topic of a bag that has several", show_default=False)
]


class ContextLabels(str, Enum):
    """Whose label maps a structure model gets to see."""

    segmenter = "segmenter"
    source = "source"


def context_of(choice: ContextLabels) -> Literal["source", "segmenter"]:
    """The choice as the evaluation calls it."""
    return "source" if choice is ContextLabels.source else "segmenter"


#: What `evaluate` and `demo` write; METRICS tells the folder of an earlier run from one that is none of ours.
METRICS = "metrics.json"
REPORT_FILES = (METRICS, "scores.csv", "label_scores.csv", "report.html", "filmstrip.png", "forecast.mp4", "labels.png", "labels.mp4")
#: Where these files are written until all of them are there.
PART = ".part"


def check_out(path: Path, option: str = "--out") -> None:
    """Raise ConfigError where ``path`` is no folder that can be written to, nor can become one. Leaves nothing behind."""
    _unmake(_make(path, option))


@contextmanager
def report_folder(out: Path, beside: Collection[str] = ()) -> Iterator[Path]:
    """A folder for REPORT_FILES. Once all is done, they take the place of those in ``out``; after an error nothing there has changed.

    ``beside``: names of what else a command keeps in ``out``. Raises ConfigError, at once, where ``out`` cannot be written
    to, or holds something and no report.
    """
    held = set(os.listdir(out)) if out.is_dir() else set()
    if METRICS not in held and held - {*REPORT_FILES, *beside, PART}:
        raise ConfigError(f"--out {out} holds something, and no report of an earlier run: name another folder")
    part = out / PART
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    made = _make(part, "--out")
    try:
        yield part
        for name in REPORT_FILES:
            (out / name).unlink(missing_ok=True)
        for file in part.iterdir():
            file.rename(out / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _unmake(made)


def _make(folder: Path, option: str) -> list[Path]:
    """Make a folder that can be written to; those that were not there are returned, innermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return missing
    except OSError as error:
        _unmake(missing)
        at = folder.parent if folder.name == PART else folder
        raise ConfigError(f"{option} {at}: nothing can be written there ({error.strerror}); name another folder") from None


def _unmake(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def frames_bar(console: Console) -> Progress:
    """A progress bar that counts frames, with the time that is gone and that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def watch(console: Console, total: int, text: str) -> Any:
    """A wrapper for the frames of a source that draws a progress bar while they are read."""

    def watched(frames: Iterable[Any]) -> Iterator[Any]:
        with frames_bar(console) as progress:
            yield from progress.track(frames, total=total, description=text)

    return watched


def counted(number: int, thing: str) -> str:
    """ "1 step", "5 steps"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def command_line() -> str:
    """The command as it was typed, for the protocol of what it writes."""
    return shlex.join(["vidpred", *sys.argv[1:]])


def print_scores(console: Console, results: Mapping[str, Any]) -> None:
    """The table of metrics.json: a row for each horizon, a column for each metric and method, the best one bold."""
    from vidpred_ros.evaluation.scores import best_method  # slow to import, and --help needs none
    from vidpred_ros.metrics import HEADLINE

    titles = {"ssim": ("SSIM", 3), "psnr": ("PSNR", 1), "lpips": ("LPIPS", 3)}
    short = {"predictor": "ours", "copy_last": "copy", "optical_flow": "flow"}
    methods = [name for name, one in results["horizons"][0]["methods"].items() if one["ssim"] is not None]
    console.print(
        f"\n[bold]{results['model']}[/] on {escape(results['source'])}, {counted(results['protocol']['windows'], 'window')}, PSNR in dB",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("ahead", no_wrap=True)
    for metric in HEADLINE:
        for method in methods:
            table.add_column(f"{titles[metric][0]}\n{short.get(method, method.replace('_', ' '))}", justify="right", no_wrap=True)
    for horizon in results["horizons"]:
        cells = []
        for metric in HEADLINE:
            best = best_method(horizon["methods"], metric)
            for method in methods:
                value = horizon["methods"][method][metric]
                text = "n/a" if value is None else f"{value:.{titles[metric][1]}f}"
                cells.append(f"[bold green]{text}[/]" if method == best else text)
        table.add_row(f"+{horizon['seconds']:.2g} s", *cells)
    console.print(table)
    latency = results["latency_ms"]
    if latency["median"] is not None:
        console.print(
            f"prediction: median {latency['median']:.1f} ms, p99 {latency['p99']:.1f} ms, {results['engine']}"
        )
    for metric in HEADLINE:
        reason = results["horizons"][0]["methods"]["predictor"].get(f"{metric}_reason")
        if reason:
            console.print(f"[yellow]{titles[metric][0]} is missing:[/] {reason}")


def print_label_scores(console: Console, results: Mapping[str, Any]) -> None:
    """The label maps' part of metrics.json: a row for each horizon, mIoU of each method, the best one bold."""
    from vidpred_ros.evaluation.label_scores import LABEL_METRICS, best_label_method

    about = results["structure"]
    horizons = [h for h in results["horizons"] if h.get("windows_labelled")]
    titles = {"miou": "mIoU", "miou_moving": "moving"}
    short = {"predictor": "ours", "copy_last": "copy", "optical_flow": "flow"}
    console.print(
        f"\n[bold]{about['model']}[/] on {escape(results['source'])}, {counted(about['windows'], 'window')}, against {about['against']}",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("ahead", no_wrap=True)
    methods = [name for name, one in horizons[0]["methods"].items() if one["miou"] is not None]
    for metric in LABEL_METRICS:
        for method in methods:
            table.add_column(f"{titles[metric]}\n{short.get(method, method.replace('_', ' '))}", justify="right", no_wrap=True)
    for horizon in horizons:
        cells = []
        for metric in LABEL_METRICS:
            best = best_label_method(horizon["methods"], metric)
            for method in methods:
                value = horizon["methods"][method][metric]
                text = "n/a" if value is None else f"{value:.3f}"
                cells.append(f"[bold green]{text}[/]" if method == best else text)
        table.add_row(f"+{horizon['seconds']:.2g} s", *cells)
    console.print(table)
    if "segmenter" in methods:
        console.print("segmenter: it sees the true future frame, so it is not in the contest")
    latency = about["latency_ms"]
    if latency["median"] is not None:
        console.print(f"label forecast: median {latency['median']:.1f} ms, p99 {latency['p99']:.1f} ms, {about['engine']}")


def print_files(console: Console, out: Path, *names: str) -> None:
    """The paths of what was written, the most useful one last."""
    for name in names:
        console.print(f"{out / name}", soft_wrap=True, highlight=False)
