"""Train a predictor: `python -m training.train RECIPE [--set key=value] [--out runs/NAME]`.

Phase one of Shouno 2020 (section 4.2): the generator alone learns to predict with the MAE and VGG losses. A run that is
started again with the same output folder goes on where its last checkpoint stands. Under torchrun, every process takes
its share of each step's windows and gradients are averaged (DistributedDataParallel).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import torch.distributed as dist
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from training import checkpoint
from training.datasets.clips import ClipDataset
from training.datasets.frames import Sequence, open_sequences
from training.losses import VggLoss, mae
from training.recipe import Recipe, load_recipe
from training.validate import check_long_enough, validate
from vidpred_ros.errors import ModelError, VidpredError
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual

console = Console(stderr=True)


class Trainer:
    """One run: the network, its optimiser, and everything that a checkpoint holds."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)  # NCCL would put every process on the first GPU
        if self.world > 1:
            dist.init_process_group("nccl" if cuda else "gloo")
        torch.manual_seed(recipe.seed)
        self.network = channels_last(HierarchicalResidual(recipe.network)).to(self.device)
        self.parallel: nn.Module = self.network
        if self.world > 1:
            self.parallel = DistributedDataParallel(self.network)
        self.vgg = VggLoss().to(self.device) if recipe.loss.vgg else None
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=recipe.lr, betas=recipe.betas)
        average = get_ema_multi_avg_fn(recipe.ema)
        self.ema = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True) if recipe.ema else None
        self.step = 0

    @property
    def released(self) -> nn.Module:
        """The network whose weights are validated and released: the average, where there is one."""
        return self.network if self.ema is None else self.ema.module

    def learning_rate(self) -> float:
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / recipe.warmup) if recipe.warmup else 1.0
        if recipe.schedule == "constant":
            return recipe.lr * warm
        return recipe.lr * warm * 0.5 * (1 + float(np.cos(np.pi * min(1.0, self.step / recipe.steps))))

    def futures(self, rng: np.random.Generator) -> list[int]:
        """The steps that are learnt now: 1 and a draw of the others (direct), or 1..K (recursive)."""
        count, longest = self.recipe.futures_per_step, self.recipe.network.max_steps
        if self.recipe.network.rollout == "recursive":
            return list(range(1, count + 1))
        return [1, *sorted(rng.choice(np.arange(2, longest + 1), size=count - 1, replace=False).tolist())]

    def learn(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """One update of the weights. Raises ModelError when a loss is no longer finite."""
        rng = np.random.default_rng((self.recipe.seed, self.step, 1))
        steps = self.futures(rng)
        # noise too depends on the step alone: a resumed run goes on exactly, and each process draws its own
        torch.manual_seed(self.recipe.seed + 1_000_003 * (self.step * self.world + self.rank))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        frames = batch["frames"].to(self.device, non_blocking=True)
        flows = batch["flows"].to(self.device, non_blocking=True) if "flows" in batch else None
        half = torch.autocast(self.device.type, torch.bfloat16) if self.recipe.precision == "bf16" else nullcontext()
        with half:
            predicted = self.parallel(frames[:, :WINDOW], flows, steps)
            true = frames[:, [WINDOW - 1 + k for k in steps]]
            losses = self.losses(predicted.float().flatten(0, 1), true.flatten(0, 1), rng)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            terms = ", ".join(f"{name} {float(value.detach()):g}" for name, value in losses.items())
            raise ModelError(f"step {self.step}: the loss is not finite ({terms}); last good: {self.out / 'last.pt'}")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update_parameters(self.network)
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def losses(self, predicted: Tensor, true: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        weights = self.recipe.loss
        losses = {"mae": weights.mae * mae(predicted, true)}
        if self.vgg is not None:
            if weights.vgg_crop is not None:
                predicted, true = same_crop(predicted, true, weights.vgg_crop, rng)
            losses["vgg"] = weights.vgg * self.vgg(predicted, true)
        return losses

    def save(self) -> None:
        state: dict[str, Any] = {
            "recipe": self.recipe.model_dump(mode="json"),
            "step": self.step,
            "network": self.network.state_dict(),
            "released": self.released.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.ema is not None:
            state["ema"] = self.ema.state_dict()
        checkpoint.save(self.out / "last.pt", state)

    def resume(self) -> bool:
        """Take up ``last.pt`` if it is there. Raises ModelError when it belongs to another network."""
        path = self.out / "last.pt"
        if not path.exists():
            return False
        state = checkpoint.load(path)
        theirs, ours = state["recipe"]["network"], self.recipe.network.model_dump(mode="json")
        if theirs != ours:
            changed = ", ".join(f"{k}: {theirs.get(k)} -> {v}" for k, v in ours.items() if theirs.get(k) != v)
            raise ModelError(f"{path} holds another network ({changed}); choose another --out or remove it")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None and "ema" in state:  # without: the average starts with the weights as they are now
            self.ema.load_state_dict(state["ema"])
        self.step = state["step"]
        return True

    def batches(self, dataset: ClipDataset) -> Iterator[dict[str, Tensor]]:
        size = self.recipe.batch
        first = (self.step * self.world + self.rank) * size
        starts = range(first, self.recipe.steps * self.world * size, self.world * size)
        indices = (range(start, start + size) for start in starts)  # a generator: a run may have millions
        yield from DataLoader(dataset, batch_sampler=indices, num_workers=self.recipe.data.workers)


def channels_last(network: nn.Module) -> nn.Module:
    """Lay convolution weights out channels last: several times faster in bf16 on a CPU."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network


def same_crop(a: Tensor, b: Tensor, size: tuple[int, int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same random rectangle of two batches of images."""
    height, width = (min(want, have) for want, have in zip(size, a.shape[-2:], strict=True))
    top, left = rng.integers(a.shape[-2] - height + 1), rng.integers(a.shape[-1] - width + 1)
    return (
        a[..., top : top + height, left : left + width],
        b[..., top : top + height, left : left + width],
    )


def load_data(recipe: Recipe) -> tuple[ClipDataset, list[Sequence]]:
    """The training clips and the validation sequences of a recipe, decoded into the cache on first use."""
    data, random_crops = recipe.data, recipe.data.crop != (1.0, 1.0)
    train = [s for text in data.train for s in open_sequences(text, data.size, "train", random_crops)]
    held_out = [s for text in data.validate_on for s in open_sequences(text, data.size, "val", False)]
    check_long_enough(held_out, recipe)  # now, not after hours of training
    futures = recipe.network.max_steps if recipe.network.rollout == "direct" else recipe.futures_per_step
    flows = recipe.network.motion_prior == "dis"
    length = recipe.steps * recipe.batch * int(os.environ.get("WORLD_SIZE", "1"))
    return ClipDataset(train, data, futures, flows, recipe.seed, length), held_out


def run(recipe: Recipe, out: Path) -> Path:
    """Train to ``recipe.steps`` and return the last checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # before any other call: a forked loader hangs on a thread pool that OpenCV made before it
    dataset, held_out = load_data(recipe)
    trainer = Trainer(recipe, out)
    resumed, chief = trainer.resume(), trainer.rank == 0
    if chief:
        count = sum(p.numel() for p in trainer.network.parameters())
        where = f"resumed at step {trainer.step}" if resumed else "from the start"
        console.print(f"{count / 1e6:.1f} M parameters, {len(dataset.choices)} sequences at their strides, {where}")
    log = (out / "log.jsonl").open("a")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console, disable=not chief) as bar:
        task = bar.add_task(out.name, total=recipe.steps, completed=trainer.step, loss="")
        mean: dict[str, float] = {}
        start = time.monotonic()
        for batch in trainer.batches(dataset):
            losses = trainer.learn(batch)
            mean = {name: 0.98 * mean.get(name, value) + 0.02 * value for name, value in losses.items()}
            bar.update(task, advance=1, loss=" ".join(f"{name} {value:.1f}" for name, value in mean.items()))
            done = trainer.step == recipe.steps
            if chief and (done or trainer.step % recipe.save_every == 0):
                trainer.save()
            if chief and (done or trainer.step % recipe.validate_every == 0):
                scores = validate(trainer.released, held_out, recipe)
                record = {"step": trainer.step, "seconds": time.monotonic() - start, **mean, **scores}
                log.write(json.dumps(record) + "\n")
                log.flush()
                shown = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
                console.print(f"step {trainer.step}: {shown}")
    log.close()
    if trainer.world > 1:
        dist.destroy_process_group()
    return out / "last.pt"


def main(
    recipe: Annotated[str, typer.Argument(help="a recipe's name (training/recipes) or a YAML file")],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="change one key, e.g. lr=2e-4, network.width=0.5")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; default runs/RECIPE")] = None,
) -> None:
    """Train a predictor by a recipe; started again with the same --out, it resumes.

    Example: VIDPRED_DATA=/data python -m training.train hrp_tree_w25 --set steps=2000
    """
    folder = out or Path("runs") / Path(recipe).stem
    try:
        last = run(load_recipe(recipe, override or []), folder)
    except VidpredError as error:
        console.print(f"[red]error:[/red] {error}", soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(f"done: {last}  (release it: python -m training.release {last} --out models/NAME)")


if __name__ == "__main__":
    typer.run(main)
