"""Train a predictor: `python -m training.train RECIPE [--set key=value] [--out runs/NAME]`.

A run that is started again with the same output folder goes on where its last checkpoint stands. Several GPUs or
machines: `torchrun --nproc-per-node 8 -m training.train RECIPE`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import cv2
import torch.distributed as dist
import typer
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
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from training import checkpoint
from training.datasets.clips import ClipDataset
from training.datasets.frames import Sequence, open_sequences
from training.datasets.labels import open_labelled
from training.datasets.load import Clips, make_clips, needs_consecutive, open_training
from training.recipe import Recipe, load_recipe
from training.sway import fit_sway
from training.trainer import Trainer
from training.validate import check_long_enough, overall, validate
from training.validate_labels import HeldOut, hold_out, validate_labels
from vidpred_ros.errors import VidpredError
from vidpred_ros.networks.config import LABEL_KINDS
from vidpred_ros.networks.heads import Sway

console = Console(stderr=True)
#: Losses are shown and logged as a running mean over about this many updates of their network.
SMOOTH = 50


#: What a run is validated on.
Validation = list[Sequence] | list[HeldOut]


def load_data(recipe: Recipe) -> tuple[Clips, Validation]:
    """The training clips and what is validated on, decoded into the cache on first use."""
    held_out = open_validation(recipe)  # now, not after hours of training
    length = recipe.total_steps * recipe.batch * int(os.environ.get("WORLD_SIZE", "1"))
    return make_clips(open_training(recipe), recipe, length), held_out


def open_validation(recipe: Recipe) -> Validation:
    """What a recipe is validated on. Raises SourceError for a sequence that is too short for it."""
    if recipe.network.kind in LABEL_KINDS:
        return hold_out(open_labelled(recipe.data.validate_on, "val", consecutive=needs_consecutive(recipe)), recipe)
    sequences = open_sequences(recipe.data.validate_on, recipe.data.size, "val", False)
    check_long_enough(sequences, recipe)
    return sequences


def batches(dataset: Clips, trainer: Trainer) -> Iterator[dict[str, Tensor]]:
    """This process's windows of every update that is still to come. Raises what making them raises."""
    recipe, world = trainer.recipe, trainer.world
    first = (trainer.step * world + trainer.rank) * recipe.batch
    starts = range(first, recipe.total_steps * world * recipe.batch, world * recipe.batch)
    indices: Any = (range(start, start + recipe.batch) for start in starts)  # a generator: a run may have millions
    pinned = trainer.device.type == "cuda"
    try:
        yield from DataLoader(dataset, batch_sampler=indices, num_workers=recipe.data.workers, pin_memory=pinned)
    except VidpredError as error:  # a loading process puts its traceback before what it says
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].rstrip()) from None


class Log:
    """The chief's records: log.jsonl, TensorBoard's event file, and the smoothed losses.

    Steps are updates that have been made. What a run that was killed recorded after its checkpoint, ``step``, is taken out,
    and its time goes on.
    """

    def __init__(self, out: Path, step: int) -> None:
        path = out / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        records = [record for record in map(read_record, lines) if record and record["step"] <= step]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        self._lines = path.open("a")
        self._board = SummaryWriter(str(out), purge_step=step + 1)
        self.means: dict[str, float] = {}
        self._start = time.monotonic() - (records[-1]["seconds"] if records else 0)

    def update(self, step: int, terms: dict[str, float], learning_rate: float, which: str) -> None:
        for name, value in terms.items():
            self.means[name] = self.means.get(name, value) + (value - self.means.get(name, value)) / SMOOTH
            self._board.add_scalar(name if "/" in name else f"loss/{name}", value, step)
        self._board.add_scalar(f"lr/{which}", learning_rate, step)

    def validation(self, step: int, scores: dict[str, float], strips: dict[str, Any]) -> None:
        record = {"step": step, "seconds": time.monotonic() - self._start, **self.means, **scores}
        self._lines.write(json.dumps(record) + "\n")
        self._lines.flush()
        for name, value in scores.items():
            sequence, _, metric = name.rpartition(" ")
            self._board.add_scalar(f"{metric}/{sequence}", value, step)
        for name, strip in strips.items():
            self._board.add_image(name, strip, step, dataformats="HWC")
        self._board.flush()

    def close(self) -> None:
        self._lines.close()
        self._board.close()


def read_record(line: str) -> dict[str, Any] | None:
    """A line of log.jsonl; None for one that was cut off."""
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return record


def run(recipe: Recipe, out: Path, name: str = "") -> Path:
    """Train to the recipe's last update and return the last checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # before any other call: a forked loader hangs on a thread pool that OpenCV made before it
    if recipe.init is not None and not (out / "last.pt").exists():
        checkpoint.initial_weights(recipe.init)  # now, not after hours of decoding
    dataset, held_out = load_data(recipe)
    trainer = Trainer(recipe, out, name)
    changes, chief = trainer.resume(), trainer.rank == 0
    if not trainer.step:
        learn_sway(trainer, dataset)
    if not chief:
        for batch in batches(dataset, trainer):
            trainer.learn(batch)
    else:
        for change in changes:
            console.print(f"[yellow]resuming with another recipe:[/yellow] {escape(change)}", highlight=False)
        if trainer.fresh and not trainer.step:
            console.print(f"[yellow]not in {escape(recipe.init or '')}, so untrained:[/yellow] {', '.join(trainer.fresh)}", highlight=False)
        learn_and_log(trainer, dataset, held_out)
    if trainer.world > 1:
        dist.destroy_process_group()
    return out / "last.pt"


def learn_sway(trainer: Trainer, dataset: Clips) -> None:
    """Fit the generator's sway head, if it has one that knows nothing yet, to the training sequences' motion."""
    network, recipe = trainer.networks["generator"], trainer.recipe
    if recipe.network.kind != "hierarchical" or not recipe.network.sway or not isinstance(dataset, ClipDataset):
        return
    if recipe.init is not None and not any(name.startswith("head.sway.") for name in trainer.fresh):
        return
    sway = cast(Sway, cast(nn.Module, network.head).sway)
    share = fit_sway(sway, dataset, recipe.network.max_steps, recipe.seed)
    if trainer.world > 1:  # processors may round differently
        for parameter in sway.parameters():
            dist.broadcast(parameter.data, 0)
    trainer.restart_average()
    if trainer.rank == 0:
        console.print(f"sway: foretells {100 * share:.0f} % of the variance of the camera's vertical shift", highlight=False)


def learn_and_log(trainer: Trainer, dataset: Clips, held_out: Validation) -> None:
    """The chief's loop: updates, a progress bar, validation, and the checkpoints last.pt and best.pt."""
    recipe, total = trainer.recipe, trainer.recipe.total_steps
    sizes = ", ".join(f"{n} {sum(p.numel() for p in net.parameters()) / 1e6:.1f} M" for n, net in trainer.networks.items())
    where = f"resumed at step {trainer.step}" if trainer.step else "from the start"
    console.print(f"{sizes} parameters, {len(dataset.choices)} sequences at their strides, {where}, on {trainer.device}")
    log = Log(trainer.out, trainer.step)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console) as bar:
        task = bar.add_task(trainer.phase()[0], total=total, completed=trainer.step, loss="")
        for batch in batches(dataset, trainer):
            (phase, which), rate = trainer.phase(), trainer.learning_rate()
            terms = trainer.learn(batch)
            log.update(trainer.step, terms, rate, which)
            shown = " ".join(f"{key} {value:.3g}" for key, value in log.means.items())
            bar.update(task, advance=1, description=phase, loss=shown)
            done = trainer.step == total
            if done or trainer.step % recipe.validate_every == 0:
                scores, strips = score(trainer.released, held_out, recipe)
                log.validation(trainer.step, scores, strips)
                print_scores(trainer.step, scores)
                now = overall(scores)
                if now is not None and trainer.of_last_phase and (trainer.best is None or now < trainer.best):
                    trainer.best = now
                    trainer.save("best.pt")
            if done or trainer.step % recipe.save_every == 0:
                trainer.save()
    log.close()


def score(network: nn.Module, held_out: Validation, recipe: Recipe) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores and strips of the validation that belongs to the network."""
    if recipe.network.kind in LABEL_KINDS:
        return validate_labels(network, cast(list[HeldOut], held_out), recipe)
    return validate(network, cast(list[Sequence], held_out), recipe)


def print_scores(step: int, scores: dict[str, float]) -> None:
    """A line for each sequence: "step 300 kitti  ssim@1 .67 ..."."""
    by_sequence: dict[str, list[str]] = {}
    for name, value in scores.items():
        sequence, _, metric = name.rpartition(" ")
        by_sequence.setdefault(sequence, []).append(f"{metric} {value:.{1 if metric.startswith('psnr') else 3}f}")
    for sequence, values in by_sequence.items():
        console.print(f"step {step} {escape(sequence)}  {'  '.join(values)}", highlight=False, soft_wrap=True)


def main(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (training/recipes) or a YAML file")],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="change one key, e.g. lr=2e-4, network.width=0.5")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; default runs/RECIPE")] = None,
) -> None:
    """Train a predictor by a recipe; started again with the same --out, it resumes.

    Watch it: tensorboard --logdir runs

    Example: VIDPRED_DATA=/data python -m training.train hrp_tree_w25 --set steps=2000
    """
    name = Path(recipe).stem
    try:
        last = run(load_recipe(recipe, override or []), out or Path("runs") / name, name)
    except VidpredError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None
    best = last.with_name("best.pt")
    chosen = best if best.is_file() else last
    console.print(escape(f"done: {last}  (release it: vidpred export {chosen} --out models/NAME --licence ...)"), soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
