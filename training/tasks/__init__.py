"""What each family of networks learns: `make_task(recipe, device)`."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from training.recipe import Recipe


class Task(Protocol):
    """The networks of a recipe and their losses; the trainer does the rest.

    ``networks`` holds "generator", which is released, and with ``recipe.adversarial`` also "discriminator". Each is learnt
    by an optimiser of its own.
    """

    networks: dict[str, nn.Module]
    logits: dict[str, Tensor]  # of the discriminator's last batch, the mean of "real" and of "fake" futures; for the log

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        """The weighted terms, by name, whose sum is minimised over ``networks[which]`` now.

        ``batch`` has frames (B, 8 + K, 3, H, W) float32 in [0, 1] and, for a motion prior, flows (B, 8, 2, H, W) in
        pixels; for label maps, what the items of training/datasets/label_clips.py have. ``adversarial`` says whether the
        discriminator takes part in the generator's losses yet. Parameters of the other networks have requires_grad off.
        Draws come from ``rng`` and torch's generator, seeded by the step.
        """
        ...


#: Module and class of what each kind of network learns.
TASKS = {
    "hierarchical": ("hierarchical", "HierarchicalTask"),
    "multiscale": ("multiscale", "MultiScaleTask"),
    "stochastic": ("stochastic", "StochasticTask"),
    "segmenter": ("segmenter", "SegmenterTask"),
    "structure": ("structure", "StructureTask"),
    "s2s": ("s2s", "S2STask"),
    "edges": ("edges", "EdgesTask"),
    "pixels": ("pixels", "PixelsTask"),
}


def make_task(recipe: Recipe, device: torch.device) -> Task:
    """The task of a recipe's network, its networks on ``device``. Raises ModelError when VGG-16's weights are missing."""
    module, name = TASKS[recipe.network.kind]
    task: Task = getattr(import_module(f"training.tasks.{module}"), name)(recipe, device)
    return task
