"""Small random models: networks with random weights, and the model folders of them that a release makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from training import checkpoint
from training.recipe import Data, Recipe
from training.release import release
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import (
    WINDOW,
    HierarchicalConfig,
    MultiScaleConfig,
    StochasticConfig,
)

SIZE = (32, 48)
#: Settings of a small network of each kind.
TINY: dict[str, dict[str, Any]] = {
    "hierarchical": {"width": 0.1, "head": "warp", "motion_prior": "dis", "sway": True, "rollout": "direct", "max_steps": 5},
    "multiscale": {"width": 0.05, "max_steps": 5},
    "stochastic": {"width": 0.1, "size": SIZE, "features": 16, "latent": 3, "hidden": 16, "max_steps": 5},
}


def random_network(config: HierarchicalConfig | MultiScaleConfig | StochasticConfig, seed: int = 0) -> nn.Module:
    """A network whose every weight matters: batch norm statistics are not 0 and 1, and no output layer is 0."""
    torch.manual_seed(seed)
    network = make_network(config)
    if config.noise_channels:
        strengthen(network)
    for parameter in network.parameters():
        if parameter.abs().max() == 0:
            nn.init.normal_(parameter, std=0.02)
    with torch.no_grad():
        for _ in range(3):
            flows = torch.randn(2, WINDOW, 2, *SIZE) if config.needs_flows else None
            noise = torch.randn(2, 1, config.noise_channels) if config.noise_channels else None
            network(torch.rand(2, WINDOW, 3, *SIZE), flows, [1], noise)
    return network.eval()


def strengthen(network: nn.Module) -> None:
    """Let noise be seen in what a stochastic network makes: as it is initialised, it fades on its way."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # statistics become the mean over all passes, so that layers do normalise
        if isinstance(module, (nn.Linear, nn.LSTMCell)):
            for parameter in module.parameters():
                parameter.data *= 4


def make_checkpoint(path: Path, kind: str = "hierarchical", **settings: Any) -> Path:
    """A checkpoint, as the trainer writes it, of a random network of a kind with ``settings`` of its config."""
    values = {"kind": kind} | TINY[kind] | settings
    recipe = Recipe.model_validate(
        {"network": values, "data": Data(train=["synthetic:seed=1"], size=SIZE), "steps": 1}
    )
    weights = random_network(recipe.network).state_dict()
    empty = {"networks": {}, "optimizers": {}, "scaler": {}, "best": None}
    checkpoint.save(path, {"recipe": recipe.model_dump(mode="json"), "step": 0, "released": weights, **empty})
    return path


def make_model(folder: Path, name: str = "tiny", kind: str = "hierarchical", **settings: Any) -> Path:
    """A model folder of a random network of a kind with ``settings`` of its config."""
    release(make_checkpoint(folder / f"{name}.pt", kind, **settings), folder / name, "none: random weights")
    return folder / name
