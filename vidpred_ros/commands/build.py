"""``vidpred build``: engines built and checked ahead of the node's start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from vidpred_ros.errors import ConfigError

if TYPE_CHECKING:
    from vidpred_ros.build import Built, Request
    from vidpred_ros.engines.choice import EngineChoice
    from vidpred_ros.models import ReleasedModel
    from vidpred_ros.sources.base import Source


class BuildEngine(Enum):
    """Engines that keep files of their own."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"
    openvino = "openvino"
    onnxruntime = "onnxruntime"


class Precision(Enum):
    """What an engine computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"
    fp8 = "fp8"


class Kind(Enum):
    """Graphs that can be built."""

    stream = "stream"
    whole = "whole"
    motion = "motion"
    segment = "segment"
    encode = "encode"
    forecast = "forecast"
    structure = "structure"


def build(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="released models, by name or folder", show_default=False)
    ],
    engine: Annotated[
        BuildEngine | None, typer.Option("--engine", "-e", help="what to build for", show_default="what the node would take")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option("--precision", "-p", help="of the engine", show_default="the engine's own")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", "-k", min=1, help="future frames: the node's parameter steps")] = 5,
    samples: Annotated[int, typer.Option(min=1, help="label futures drawn at a time: the node's parameter samples")] = 8,
    batch: Annotated[int, typer.Option(min=1, help="cameras at a time: those of a node on a GPU")] = 1,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="height and width of the frames, such as 128x160", show_default="the model's")
    ] = None,
    kind: Annotated[
        list[Kind] | None, typer.Option(help="only this graph; may be repeated", show_default="all that the node opens")
    ] = None,
    export: Annotated[
        bool, typer.Option("--export", help="only the ONNX files, for a car without PyTorch; needs no GPU, and --engine")
    ] = False,
    check: Annotated[
        str, typer.Option(metavar="SOURCE", help="what the engine is held against float32 on")
    ] = "synthetic:seed=1,seconds=4",
) -> None:
    """Export and build the engines of MODEL now, and check them.

    A later start of the node is instant then. Each engine is held against
    float32 on 20 windows of SOURCE. Where it differs by more than this (fp32 /
    fp16 / bf16 / int8 / fp8) it is refused, and the exit code is 1:

      mean of colours: 0.1 / 0.5 / 1.5 / 2 / 2 of 255

      SSIM of the first and last step, lower by: 0.0005 / 0.002 / 0.005 / 0.01 / 0.01

      LPIPS of these, higher by: 0.2 / 1 / 2 / 2 / 2 %

      label maps: 0.2 / 1 / 3 / 5 / 5 % of the pixels

      motion: 0.01 / 0.05 / 0.2 / 0.4 / 0.4 pixels

    A TensorRT engine keeps the figures beside it, and the node passes over one
    that was refused. Such an engine fits one kind of GPU and one version of
    TensorRT: build on the car. Name a segmenter beside its structure model:
    it is built for frames of the aspect of that one's label maps. With --export
    only the ONNX files are written, in float32 and as the engine wants them, to
    be copied to a car (docs/deployment.md).

    Examples:

      vidpred build hrp_tree_w25 --engine tensorrt

      vidpred build hrp_tree_w25 -e openvino --precision int8 --check drive.mcap

      vidpred build hvp_structure_slim segmenter_lite0 --samples 8

      vidpred build hrp_tree_w25 --engine tensorrt --export
    """
    from vidpred_ros.build import Request, check_kind
    from vidpred_ros.engines.base import EIGHT_BITS
    from vidpred_ros.engines.choice import EngineChoice, candidates, check_precision, choose
    from vidpred_ros.models import find_model
    from vidpred_ros.sources import open_source

    wanted = None if precision is None else precision.value
    if export and engine is None:
        raise ConfigError("--export makes files for another machine: say --engine, such as tensorrt")
    if engine is None:
        name = candidates(wanted)[0]
    else:
        name = engine.value if export else choose(engine.value)
    check_precision(name, wanted)
    requests = []
    for released in _sized([find_model(model) for model in models], size):
        kinds = [one.value for one in kind] if kind else [None]
        requests += [Request(released, one, steps, samples, batch) for one in kinds]
    for request in requests:
        check_kind(request)
        if wanted in EIGHT_BITS:
            _ = request.model.int8  # or it is missed when other graphs have been exported
    console = Console(highlight=False)
    if export:
        for request in requests:
            _export(request, EngineChoice(name, wanted), console)
        return
    source = open_source(check)
    refused = 0
    for request in requests:
        built = _build(request, EngineChoice(name, wanted), source, console)
        _print(console, built)
        refused += bool(built.parity.failures)
    if refused:
        raise typer.Exit(1)


def _sized(models: list[ReleasedModel], size: str | None) -> Iterator[ReleasedModel]:
    """The models at the size that they run at: a segmenter at that which the structure models beside it want, all others at
    ``size`` or their own. Raises ConfigError for a ``size`` that a model cannot have."""
    from vidpred_ros.networks.config import STRUCTURE_KINDS
    from vidpred_ros.segmenters import frame_size

    maps = [model.card.size for model in models if model.card.network.kind in STRUCTURE_KINDS]
    for model in models:
        own = model.card.size
        if size is not None and hasattr(model.card.network, "size"):
            raise ConfigError(f"--size: model {model.id} has a size of its own, {'x'.join(map(str, own))}")
        if size is not None:
            yield model.at(_size(size))
        elif model.card.network.kind == "segmenter":
            yield from map(model.at, dict.fromkeys(frame_size(own, one) for one in maps) or [own])
        else:
            yield model


def _size(text: str) -> tuple[int, int]:
    """ "128x160" as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()) or int(height) % 16 or int(width) % 16 or not int(height) * int(width):
        raise ConfigError(f"--size {text}: give HEIGHTxWIDTH, multiples of 16, such as 128x160")
    return int(height), int(width)


def _export(request: Request, choice: EngineChoice, console: Console) -> None:
    """The paths alone go to stdout, for a script that copies them."""
    from vidpred_ros.build import export

    with Console(stderr=True).status(f"exporting {request.model.id}: some seconds for each graph"):
        files = export(request, choice)
    for file in files:
        console.print(str(file), soft_wrap=True)


def _build(request: Request, choice: EngineChoice, source: Source, console: Console) -> Built:
    """With a progress bar for what is being exported or built, and one for the windows of the check; in a log, with lines."""
    from vidpred_ros.build import build
    from vidpred_ros.evaluation.parity import WINDOWS
    from vidpred_ros.nodes.preparation import Preparation

    if not console.is_terminal:
        with closing(Preparation(lambda what, share, seconds: None, console.print)) as log:

            def say(windows: Iterable[Any]) -> Iterable[Any]:
                log(f"checking {request.model.id}")
                return windows

            return build(request, replace(choice, progress=log), source, say)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"opening {request.model.id}", total=None)

        def tell(what: str, share: float | None) -> None:
            progress.update(task, description=what, total=None if share is None else 1.0, completed=share or 0.0)

        def watch(windows: Iterable[Any]) -> Iterable[Any]:
            progress.update(task, visible=False)
            return progress.track(windows, total=WINDOWS, description=f"checking {request.model.id}")

        return build(request, replace(choice, progress=tell), source, watch)


def _print(console: Console, built: Built) -> None:
    """What was built, and how it compares."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in ("model", "graph", "engine"):
        table.add_column(title)
    for engine in built.engines:
        about = engine.metadata
        cameras = f", {batch} cameras" if (batch := about.get("vidpred.batch", "1")) != "1" else ""
        graph = f"{about['vidpred.kind']}, K={about['vidpred.steps']}{cameras}"
        table.add_row(about["vidpred.model"], graph, f"{engine.name} {engine.precision}")
    console.print(table)
    parity = built.parity
    console.print(f"opened in {built.seconds:.1f} s; against float32 on {parity.windows} windows of {parity.source}:", soft_wrap=True)
    units: dict[str, Callable[[float], str]] = {
        "futures": lambda value: f"{value:.3g} of 255",
        "labels": lambda value: f"{100 * value:.2g} % of the pixels",
        "motions": lambda value: f"{value:.2g} pixels",
        "entropy": lambda value: f"{value:.2g} nats",
    }
    for name, difference in parity.outputs.items():
        text = units.get(name, lambda value: f"{value:.2g}")
        console.print(f"  {name} differ by {text(difference.mean)} on average, {text(difference.max)} at most")
    for name, pair in (("SSIM", parity.ssim), ("LPIPS", parity.lpips)):
        if pair is not None:
            console.print(f"  {name} {pair[0]:.4f} in float32, {pair[1]:.4f} here ({100 * (pair[1] / pair[0] - 1):+.2f} %)")
    for name, why in parity.not_computed.items():
        console.print(f"  {name.upper()} not computed: {why}", soft_wrap=True)
    if parity.source.startswith("synthetic"):
        console.print("  (a synthetic drive; --check RECORDING checks it on yours)")
    for failure in parity.failures:
        console.print(f"[bold red]refused:[/] {failure}", soft_wrap=True)
    if not parity.failures:
        console.print("[green]within the limits[/]\n")
