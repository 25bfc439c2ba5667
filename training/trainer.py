"""One training run: networks, optimisers, phases, processes, and everything that a checkpoint holds."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training import checkpoint
from training.recipe import Recipe
from training.tasks import make_task
from vidpred_ros.errors import ModelError

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """Updates one network at a time, by the phase that ``step`` lies in.

    Under torchrun each process has its own share of a step's windows, and gradients are averaged over the processes
    after the backward pass; weights start equal and so stay equal. Whatever is drawn at random depends on (seed, step,
    process) alone, so that a resumed run goes on as if it had never stopped.
    """

    def __init__(self, recipe: Recipe, out: Path, name: str = "") -> None:
        self.recipe, self.out, self.name = recipe, out, name
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)  # NCCL would put every process on the first GPU
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        torch.manual_seed(recipe.seed)
        self.task = make_task(recipe, self.device)
        self.networks = self.task.networks
        self.fresh: list[str] = []  # parameters that ``init`` does not know
        if recipe.init is not None and not (out / "last.pt").exists():
            self.fresh = checkpoint.initialise(self.networks["generator"], recipe.init)
        for network in self.networks.values():
            channels_last(network)
            if cuda and self.world > 1:
                nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.optimizers = {name: make_optimizer(recipe, network) for name, network in self.networks.items()}
        average = get_ema_multi_avg_fn(recipe.ema)
        generator = self.networks["generator"]
        self.ema = AveragedModel(generator, multi_avg_fn=average, use_buffers=True) if recipe.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.step = 0
        self.best: float | None = None  # validation score of best.pt, less is better (validate.overall); None: there is none yet

    @property
    def released(self) -> nn.Module:
        """The generator whose weights are validated and released: the average, where there is one."""
        return self.networks["generator"] if self.ema is None else self.ema.module

    def phase(self) -> tuple[str, str]:
        """The phase of the next update ("generator", "discriminator" or "adversarial") and the network that it is for."""
        adversarial, past = self.recipe.adversarial, self.step - self.recipe.steps
        if adversarial is None or past < 0:
            return "generator", "generator"
        if past < adversarial.warmup_steps:
            return "discriminator", "discriminator"
        turn = (past - adversarial.warmup_steps) % (adversarial.updates + 1)
        return "adversarial", "generator" if turn == adversarial.updates else "discriminator"

    @property
    def of_last_phase(self) -> bool:
        """Whether the generator has had an update of the recipe's last phase: best.pt is chosen among such weights alone.

        A generator that has learnt alone may have less LPIPS than one against an adversary, and would stay the best.
        """
        adversarial = self.recipe.adversarial
        return adversarial is None or self.step - self.recipe.steps - adversarial.warmup_steps > adversarial.updates

    def learning_rate(self) -> float:
        """The rate of the next update. The generator's follows ``schedule`` in each of its phases."""
        recipe, (phase, which) = self.recipe, self.phase()
        if phase == "generator":
            base, done = recipe.lr, self.step / recipe.steps
            base *= min(1.0, (self.step + 1) / recipe.warmup) if recipe.warmup else 1.0
        else:
            assert recipe.adversarial is not None
            if which == "discriminator":
                return recipe.adversarial.discriminator_lr
            start = recipe.steps + recipe.adversarial.warmup_steps
            base, done = recipe.adversarial.lr, (self.step - start) / recipe.adversarial.steps
        if recipe.schedule == "constant":
            return base
        return recipe.lr_end + (base - recipe.lr_end) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))

    def learn(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """One update of one network; returns its losses by name, and of a discriminator its mean "logits/real" and "logits/fake".

        Raises ModelError, before any weight moves, when a loss or gradient is not finite.
        """
        recipe, (phase, which) = self.recipe, self.phase()
        rng = np.random.default_rng((recipe.seed, self.step, 1))
        # noise too depends on the step alone: a resumed run goes on exactly, and each process draws its own
        torch.manual_seed(recipe.seed + 1_000_003 * (self.step * self.world + self.rank))
        network, optimizer = self.networks[which], self.optimizers[which]
        for name, other in self.networks.items():
            other.requires_grad_(name == which)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate() * group.get("factor", 1.0)
        optimizer.zero_grad(set_to_none=True)
        terms: dict[str, float] = {}
        for part in split(batch, recipe.accumulate):
            part = {key: value.to(self.device, non_blocking=True) for key, value in part.items()}
            half = HALF.get(recipe.precision)
            with torch.autocast(self.device.type, half) if half else nullcontext():
                losses = self.task.losses(which, part, rng, phase == "adversarial")
            total = torch.stack([loss.float() for loss in losses.values()]).sum() / recipe.accumulate
            for key, value in losses.items():
                terms[key] = terms.get(key, 0.0) + float(value.detach()) / recipe.accumulate
            if not torch.isfinite(total):
                raise self.not_finite(terms)
            self.scaler.scale(total).backward()
        if self.world > 1:
            average_gradients(network)
        self.scaler.unscale_(optimizer)
        norm = get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        if not (self.scaler.is_enabled() or torch.isfinite(norm)):
            raise self.not_finite(terms, f"the gradient of the {which}")
        if recipe.clip_norm is not None:
            clip_grads_with_norm_(network.parameters(), recipe.clip_norm, norm)
        self.scaler.step(optimizer)  # fp16: left out when a gradient overflowed
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:  # halved at each update: no scale makes them finite
            raise self.not_finite(terms, f"the gradient of the {which}, however it is scaled,")
        if self.ema is not None and which == "generator":
            self.ema.update_parameters(network)
        self.step += 1
        if which == "discriminator":
            terms |= {f"logits/{name}": float(value) for name, value in self.task.logits.items()}
        return terms

    def not_finite(self, terms: dict[str, float], what: str = "the loss") -> ModelError:
        """What to say of a loss or a gradient that is NaN or infinite."""
        shown = ", ".join(f"{name} {value:g}" for name, value in terms.items())
        last = self.out / "last.pt"
        good = f"last good checkpoint: {last}" if last.is_file() else "no checkpoint was written yet"
        return ModelError(
            f"step {self.step}: {what} is not finite ({shown}); {good}. Try a smaller lr, clip_norm, or precision=fp32"
        )

    def save(self, name: str = "last.pt") -> Path:
        """Write a checkpoint; a run killed meanwhile leaves the one before whole."""
        state: dict[str, Any] = {
            "recipe": self.recipe.model_dump(mode="json"),
            "name": self.name,
            "step": self.step,
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "released": self.released.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "scaler": self.scaler.state_dict(),
            "best": self.best,
        }
        if self.ema is not None:
            state["ema"] = self.ema.state_dict()
        checkpoint.save(self.out / name, state)
        return self.out / name

    def resume(self) -> list[str]:
        """Take up ``last.pt`` if it is there; returns the keys of the recipe that have changed since, as "key: a -> b".

        Raises ModelError when it holds other networks.
        """
        path = self.out / "last.pt"
        self.check_that_all_see(path)
        if not path.exists():
            return []
        state = checkpoint.load(path)
        changed = differences(with_defaults(state["recipe"]), self.recipe.model_dump(mode="json"))
        wrong = [text for text in changed if text.startswith(("network.", "adversarial.width", "optimizer"))]
        if wrong or state["networks"].keys() != self.networks.keys():
            what = ", ".join(wrong) or f"{', '.join(state['networks'])} instead of {', '.join(self.networks)}"
            raise ModelError(
                f"{path} holds other networks or another optimizer ({what}); choose another --out, remove it, or name it "
                "in init"
            )
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
            hyper = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizers[name].param_groups]
            self.optimizers[name].load_state_dict(state["optimizers"][name])
            for group, now in zip(self.optimizers[name].param_groups, hyper, strict=True):
                group.update(now)  # betas and momentum are those of the recipe as it is now
        if self.ema is not None and "ema" in state:
            self.ema.load_state_dict(state["ema"])
        else:
            self.restart_average()
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        self.best = state["best"] if self.of_last_phase else None
        return changed

    def restart_average(self) -> None:
        """Let the average of weights, if there is one, start with the weights as they are now."""
        if self.ema is not None:
            self.ema.module.load_state_dict(self.networks["generator"].state_dict())

    def check_that_all_see(self, path: Path) -> None:
        """Raises ModelError when some processes find the checkpoint and others do not: they would train apart."""
        if self.world == 1:
            return
        seen = torch.tensor([float(path.exists())], device=self.device)
        dist.all_reduce(seen)
        if 0 < seen.item() < self.world:
            raise ModelError(f"{path} is there for {seen.item():.0f} of {self.world} processes: --out needs a shared disk")


def make_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    groups = parameter_groups(network, recipe.backbone_lr)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    return torch.optim.Adam(groups, lr=recipe.lr, betas=recipe.betas)


def parameter_groups(network: nn.Module, factor: float) -> list[dict[str, Any]]:
    """A network's parameters, those of its ``backbone``, if it has one, with a learning rate ``factor`` times the others'."""
    backbone = [p for name, p in network.named_parameters() if name.startswith("backbone.")]
    others = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
    return [{"params": others}] + ([{"params": backbone, "factor": factor}] if backbone else [])


def channels_last(network: nn.Module) -> None:
    """Lay convolution weights out channels last: several times faster in bf16 on a CPU."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # its stub lacks it
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def split(batch: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    """The batch in ``parts`` equal parts."""
    chunks = {key: value.chunk(parts) for key, value in batch.items()}
    return [{key: value[i] for key, value in chunks.items()} for i in range(parts)]


def average_gradients(network: nn.Module) -> None:
    """Replace each gradient by its mean over the processes, in one message."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    vector = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(vector)
    vector /= dist.get_world_size()
    for gradient, mean in zip(gradients, vector.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


def with_defaults(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of an earlier version, with the defaults of keys that it did not know yet; as it is where it has keys that are gone."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json")
    except ValidationError:
        return recipe


def differences(then: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """What changed between two recipes, as "key: before -> after"."""
    found = []
    for key in sorted(then.keys() | now.keys()):
        a, b = then.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} -> {b}")
    return found
