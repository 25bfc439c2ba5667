"""Does a training step wait for its data? `python -m training.datasets.bench RECIPE [--set key=value]`.

Measures decoding and the loader with an empty cache (in a folder of its own, taken away afterwards), then the loader
again with that cache full, and sets the windows a second beside those that a step uses. With --keep it decodes into the
usual cache, from which training then reads.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader

from training.datasets.load import Clips, make_clips, open_training
from training.recipe import Recipe, load_recipe
from vidpred_ros.errors import VidpredError

console = Console()
#: Steps of which the first is thrown away and the quickest other is taken, when the time of a step is measured.
STEPS = 4


@dataclass(frozen=True)
class Result:
    """Seconds to decode everything once, its frames and sequences, and windows a second of the loader."""

    decoding: float
    frames: int
    sequences: int
    cold: float
    warm: float


def measure(recipe: Recipe, windows: int, keep: bool = False) -> tuple[Result, dict[str, Tensor]]:
    """Measure the loader of a recipe over ``windows`` windows, and return a batch too. Raises what the readers raise.

    ``keep``: in the usual cache, whatever is in it.
    """
    with nullcontext() if keep else empty_cache():
        start = time.perf_counter()
        sequences = open_training(recipe)
        decoding = time.perf_counter() - start
        dataset = make_clips(sequences, recipe, windows)
        cold, batch = windows_per_second(dataset, recipe, "cold")
        warm, _ = windows_per_second(dataset, recipe, "warm")
    frames = sum(map(len, sequences))
    return Result(decoding, frames, len(sequences), cold, warm), batch


@contextmanager
def empty_cache() -> Iterator[None]:
    """A cache in a folder beside the usual one for a while: on the same disk, and nothing in it."""
    before = os.environ.get("VIDPRED_CACHE")
    usual = Path(before or Path.home() / ".cache" / "vidpred_ros")
    usual.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="vidpred_bench_", dir=usual.parent) as folder:
            os.environ["VIDPRED_CACHE"] = folder
            yield
    finally:
        os.environ.pop("VIDPRED_CACHE")
        if before is not None:
            os.environ["VIDPRED_CACHE"] = before


def windows_per_second(dataset: Clips, recipe: Recipe, what: str) -> tuple[float, dict[str, Tensor]]:
    """Rate at which the recipe's loader hands out batches, from the first one on, and the last batch."""
    loader = DataLoader(dataset, recipe.batch, num_workers=recipe.data.workers, drop_last=True)
    batches = iter(track(loader, description=f"{what} loader", total=len(loader), console=console, transient=True))
    batch = next(batches)  # the workers start
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(next(iter(batch.values())))
    return count / (time.perf_counter() - start), batch


def seconds_of_a_step(recipe: Recipe, batch: dict[str, Tensor]) -> float:
    """Time of one update of this recipe on this machine, with the data at hand."""
    from training.trainer import Trainer

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Path(folder))
        seconds = []
        for _ in track(range(STEPS), description="training steps", console=console, transient=True):
            start = time.perf_counter()
            trainer.learn(batch)
            if trainer.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def report(recipe: Recipe, result: Result, step: float) -> tuple[Table, str]:
    """The figures as a table, and the answer in a sentence."""
    needed = recipe.batch / step
    table = Table("", "windows a second", f"a batch of {recipe.batch}", "a step waits")
    for name, rate in (("loader, cold", result.cold), ("loader, warm", result.warm)):
        load = recipe.batch / rate
        table.add_row(name, f"{rate:.1f}", f"{load * 1e3:.0f} ms", f"{max(0.0, load - step) * 1e3:.0f} ms")
    table.add_row("training step", f"{needed:.1f}", f"{step * 1e3:.0f} ms", "")
    if result.warm >= needed:
        return table, f"No step waits for its data: the loader is {result.warm / needed:.1f} times as fast as the training."
    share = 1 - result.warm / needed
    return table, f"Steps wait {share:.0%} of the time: raise data.workers (now {recipe.data.workers}), or set data.bank."


def main(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (training/recipes) or a YAML file")],
    override: Annotated[list[str] | None, typer.Option("--set", help="change one key, e.g. data.workers=4")] = None,
    step_seconds: Annotated[float | None, typer.Option(min=1e-4, help="time of a step; default: measured here")] = None,
    windows: Annotated[int, typer.Option(min=1, help="windows to load; at least four batches are")] = 400,
    keep: Annotated[bool, typer.Option("--keep", help="decode into the usual cache, for the training that follows")] = False,
) -> None:
    """Measure how fast a recipe's training windows come, beside how fast its steps use them.

    Everything is decoded into a cache of its own that is taken away afterwards, or with --keep into that of training: then
    what lies there already is not decoded again, and is read warm.

    Example: VIDPRED_DATA=/data python -m training.datasets.bench hrp_tree_w25 --set data.workers=2
    """
    cv2.setNumThreads(1)  # as in training: before any other call
    try:
        loaded = load_recipe(recipe, override or [])
        result, batch = measure(loaded, max(windows, 4 * loaded.batch), keep)
        step = step_seconds or seconds_of_a_step(loaded, batch)
    except VidpredError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None
    rate = result.frames / result.decoding
    console.print(
        f"decoded {result.frames} frames of {result.sequences} sequences in {result.decoding:.1f} s ({rate:.0f} a second); "
        f"{loaded.data.workers} loading workers, {len(os.sched_getaffinity(0))} CPU cores, load {os.getloadavg()[0]:.1f}"
    )
    table, answer = report(loaded, result, step)
    console.print(table)
    console.print(answer)
    if not torch.cuda.is_available() and step_seconds is None:
        console.print("The steps ran on the CPU without the loader beside them; in training both share its cores.")


if __name__ == "__main__":
    typer.run(main)
