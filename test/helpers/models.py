"""Small released models with random weights that the tests make for themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training import checkpoint
from training.recipe import Data, Recipe
from training.release import release
from vidpred_ros.networks.config import WINDOW, HierarchicalConfig
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual

SIZE = (32, 48)


def random_network(config: HierarchicalConfig, seed: int = 0) -> HierarchicalResidual:
    """A network whose every weight matters: batch norm statistics are not 0 and 1, and no output layer is 0."""
    torch.manual_seed(seed)
    network = HierarchicalResidual(config)
    for parameter in network.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.02)
    prior = config.motion_prior == "dis"
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, WINDOW, 3, *SIZE), torch.randn(2, WINDOW, 2, *SIZE) if prior else None, [1])
    return network.eval()


def make_model(folder: Path, name: str = "tiny", **settings: Any) -> Path:
    """A model folder of a random network with ``settings`` of HierarchicalConfig."""
    values = {"width": 0.1, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 5} | settings
    config = HierarchicalConfig(**values)
    recipe = Recipe(network=config, data=Data(train=["synthetic:seed=1"], size=SIZE), steps=1)
    state = {
        "recipe": recipe.model_dump(mode="json"),
        "step": 0,
        "network": {},
        "released": random_network(config).state_dict(),
    }
    path = folder / f"{name}.pt"
    checkpoint.save(path, state)
    release(path, folder / name, "none: random weights")
    return folder / name
