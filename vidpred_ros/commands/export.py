"""``vidpred export``: a checkpoint becomes a released model; a released model becomes an ONNX file."""

from __future__ import annotations

import importlib.util
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vidpred_ros.errors import ConfigError


class Graph(Enum):
    """Graphs that networks are exported as; each kind of network has its own."""

    whole = "whole"
    stream = "stream"
    motion = "motion"
    segment = "segment"
    structure = "structure"
    encode = "encode"
    forecast = "forecast"
    step = "step"
    edges = "edges"
    pixels = "pixels"


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="a .pt file of training.train, or a released model (name or folder) to add to",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="the model's folder; its name becomes the model's", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="of the training data; it binds users of the weights", show_default=False)
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="a metrics.json of vidpred evaluate for the card; may be repeated", show_default=False),
    ] = None,
    onnx: Annotated[
        Graph | None,
        typer.Option(
            help="write an ONNX file too; frames: whole (a pass for each window), stream (for each frame) or motion; label maps: "
            "segment, structure (a whole window), encode and forecast (its halves), step (of a long future), edges, pixels",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", "-k", min=1, help="future frames that the ONNX file predicts")] = 1,
    samples: Annotated[int, typer.Option(min=1, help="futures that it draws at a time (stochastic models)")] = 1,
    to: Annotated[
        Path | None, typer.Option(help="the ONNX file", show_default="where this machine's engines look for it")
    ] = None,
) -> None:
    """Make a released model of a checkpoint: model.yaml, weights.safetensors (float16), recipe.yaml and README.md.

    README.md is written anew between its two marks, and what you write outside of them stays. An ONNX file is compared
    with torch on every installed runtime, and not kept when it differs. Needs PyTorch, but not for --scores alone.

    Examples:

      vidpred export runs/mine/best.pt --out models/mine --licence "my own drives"

      vidpred export models/mine --scores out/evaluate/metrics.json

      vidpred export hrp_tree_w25 --onnx stream --steps 5 --to hrp_tree_w25.onnx

      vidpred export hvp_structure_slim --onnx forecast --steps 5 --samples 8
    """
    from vidpred_ros.models import WEIGHTS, find_model

    console = Console(highlight=False, soft_wrap=True)
    if checkpoint.endswith(".pt"):
        if out is None or licence is None:
            raise ConfigError('a checkpoint needs --out models/NAME and --licence "LICENCE OF THE TRAINING DATA"')
        _need("torch", "training.release")
        from training.release import release

        card = release(Path(checkpoint), out, licence)
        megabytes = (out / WEIGHTS).stat().st_size / 1e6
        console.print(f"{out}: {card.parameters / 1e6:.1f} M parameters, {megabytes:.1f} MB, step {card.training.steps}")
    elif out is not None or licence is not None:
        raise ConfigError(f"--out and --licence go with a checkpoint (.pt), and {checkpoint} is none")
    elif not scores and onnx is None:
        raise ConfigError(f"nothing to do: give --scores or --onnx for the released model {checkpoint}")
    folder = out or find_model(checkpoint).folder
    if out or scores:
        _describe(folder, scores or [], console)
    if onnx is not None:
        _write_onnx(folder, onnx, steps, samples, to, console)


def _describe(folder: Path, scores: list[Path], console: Console) -> None:
    """Scores and README.md."""
    _need("training.readme", "training.scores")
    from training.readme import write_readme
    from training.scores import add_scores

    if scores:
        console.print(f"{folder / 'model.yaml'}: {add_scores(folder, scores)} scores")
    if not write_readme(folder):
        console.print(f"{folder / 'README.md'} has no marks and is left as it is; delete it to have one written")


def _write_onnx(folder: Path, kind: Graph, steps: int, samples: int, to: Path | None, console: Console) -> None:
    """One graph as an ONNX file, checked."""
    _need("torch", "onnxscript")
    from vidpred_ros.engines import GraphSpec, cached_file
    from vidpred_ros.engines.export import export as export_graph
    from vidpred_ros.models import ReleasedModel

    model = ReleasedModel(folder)
    spec = GraphSpec(kind.value, steps, samples)
    path = to or cached_file(model, spec)
    with console.status("exporting and comparing with torch: some seconds"):
        differences = export_graph(model, spec, path)
    found = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    console.print(f"{path}: " + (f"largest difference from torch: {found}" if found else "not checked: no ONNX runtime here"))


def _need(*modules: str) -> None:
    """Raise ConfigError that says how to get the modules that are not there. ``training`` comes with vidpred_ros."""
    for module in modules:
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # not even the package that it is in
            there = False
        if not there and module.startswith("training"):
            raise ConfigError(f"{module} is missing: the package `training` comes with vidpred_ros; install that again whole")
        if not there:
            raise ConfigError(f"vidpred export needs {module}: pip install {module}")
