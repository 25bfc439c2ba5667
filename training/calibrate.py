"""Measure a released model's ranges for int8 on real windows: `python -m training.calibrate hrp_tree_w25 SOURCE...`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from training.windows import at_work, windows
from vidpred_ros.engines import GraphSpec, exported_file, open_file
from vidpred_ros.engines.base import Arrays, Engine, graphs_of
from vidpred_ros.engines.calibration import LEVELS, SHARES, measure
from vidpred_ros.engines.choice import EngineChoice
from vidpred_ros.engines.precision import retype
from vidpred_ros.errors import ConfigError, SourceError, VidpredError
from vidpred_ros.models import INT8, Int8, ReleasedModel, find_model

#: Graphs that hold all convolutions of a model and take a whole window at a time, the first that a model has.
KINDS = ("whole", "segment")
#: A convolution stays in float where int8 in it alone changes the outputs by more than this: pictures by this share of their
#: range, label maps in this share of their pixels, on any engine. Of the released models' convolutions nearly all stay below a third of that.
KEEP_ABOVE = 0.0015
#: Windows on which each convolution is tried alone.
TRIED = 3
RUNTIMES = ("openvino", "onnxruntime")


def recorder(model: ReleasedModel, feeds: list[Arrays]) -> EngineChoice:
    """Float32 engines that add to ``feeds`` what goes into those of this model, not of one that it builds on."""

    def watch(engine: Engine) -> None:
        if engine.metadata["vidpred.model"] != model.id:
            return
        infer = engine.infer

        def record(arrays: Mapping[str, NDArray[Any]], into: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
            feeds.append({name: np.array(array) for name, array in arrays.items()})
            return infer(arrays, into)

        engine.infer = record  # type: ignore[method-assign]

    return EngineChoice("onnxruntime", "fp32", opened=watch)


def captured(model: ReleasedModel, spec: GraphSpec, sources: list[str], count: int) -> list[Arrays]:
    """What goes into a graph for ``count`` windows, evenly spread over each source. Raises VidpredError."""
    feeds: list[Arrays] = []
    with at_work(model, spec.kind, spec.steps, recorder(model, feeds)) as run:
        for source in track(sources, description="reading"):
            found = list(windows(source, model))
            if not found:
                raise SourceError(f"{source} holds no window of {model.card.window} frames, {model.card.period:g} s apart")
            share = -(-count // len(sources))
            for i in np.unique(np.linspace(0, len(found) - 1, share).round().astype(int)):
                run(found[i])
    return feeds


def alone(proto: onnx.ModelProto, ranges: dict[str, float], feeds: list[Arrays], folder: Path) -> Iterator[tuple[str, float]]:
    """How much int8 in each convolution alone changes the outputs, at worst on a runtime: a share of their range."""
    reference = _outputs(proto, feeds, folder, None)  # with the floats that int8 leaves
    for weight, limit in track(ranges.items(), description="trying each convolution"):
        outputs = _outputs(retype(proto, "uint8", {weight: limit}), feeds, folder, "int8")
        yield weight, max(_difference(got, wanted) for name in RUNTIMES for got, wanted in zip(outputs[name], reference[name], strict=True))


def _outputs(proto: onnx.ModelProto, feeds: list[Arrays], folder: Path, precision: str | None) -> dict[str, list[Arrays]]:
    path, found = folder / "tried.onnx", {}
    onnx.save(proto, path)
    for name in RUNTIMES:
        with closing(open_file(name, path, precision)) as engine:
            found[name] = [engine.infer(feed) for feed in feeds]
    return found


def _difference(got: Arrays, wanted: Arrays) -> float:
    """Of the first output: the futures, the samples or the labels."""
    name = next(iter(wanted))
    if name in ("samples", "labels"):
        return float((got[name] != wanted[name]).mean())
    apart = np.abs(got[name].astype(np.float32) - wanted[name].astype(np.float32)).mean()
    return float(apart) / (255 if wanted[name].dtype == np.uint8 else 1)


def calibrate(model: ReleasedModel, sources: list[str], count: int, folder: Path) -> Int8:
    """The ranges of a model. ``folder`` is for files that are tried. Raises VidpredError."""
    config = model.card.network
    kind = next((kind for kind in KINDS if kind in graphs_of(config)), None)
    if kind is None:
        raise ConfigError(f"model {model.id} ({config.kind}) stays in float: int8 is for frame predictors and segmenters")
    steps = min(5, config.max_steps)
    spec = GraphSpec(kind, steps, 4 if config.noise_channels else 1)
    feeds = captured(model, spec, sources, count)
    proto = onnx.load(exported_file(model, spec))
    histograms = measure(proto, track(feeds, description="measuring"))
    ranges = {weight: float(f"{histogram.limit():.5g}") for weight, histogram in histograms.items() if histogram.largest > 0}
    if "noise" not in feeds[0]:  # one step tells as much, in a third of the time
        proto = onnx.load(exported_file(model, GraphSpec(kind)))
    tried = dict(alone(proto, ranges, feeds[:: -(-len(feeds) // TRIED)], folder))
    kept = {weight: float(f"{tried[weight]:.3g}") for weight in ranges if not tried[weight] <= KEEP_ABOVE}
    return Int8(
        weights_sha256=model.card.weights_sha256,
        sources=[source.rstrip("/").rpartition("/")[2] for source in sources],
        windows=len(feeds),
        clipping=f"least squared error of {LEVELS} steps, among {len(SHARES)} limits from {SHARES[0]:g} of the largest value to all",
        kept=kept,
        ranges={weight: limit for weight, limit in ranges.items() if weight not in kept},
    )


def main(
    model: Annotated[str, typer.Argument(help="a released model, by name or folder")],
    sources: Annotated[list[str], typer.Argument(help="SOURCEs, the more varied the better, none that scores are measured on")],
    count: Annotated[int, typer.Option("--windows", min=1, help="windows that are looked at, evenly from all sources")] = 64,
) -> None:
    """Write MODEL's int8.json: how large the inputs of each convolution get on real windows, and which stay in float.

    Example: python -m training.calibrate hrp_tree_w25 /data/kitti_tramroad /data/udacity_highway
    """
    import tempfile

    console = Console(stderr=True)
    try:
        released = find_model(model)
        with tempfile.TemporaryDirectory() as folder:
            found = calibrate(released, sources, count, Path(folder))
        path = released.folder / INT8
        path.write_text(found.model_dump_json(indent=1) + "\n")
        console.print(f"{escape(str(path))}: {len(found.ranges)} convolutions in int8, {len(found.kept)} kept in float, {found.windows} windows")
        for weight, difference in found.kept.items():
            console.print(f"  kept: {weight} (alone it changes the output by {100 * difference:.2g} %)")
    except VidpredError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
