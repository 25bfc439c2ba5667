"""Small random models: networks with random weights, and the model folders of them that a release makes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import nn

from training import checkpoint
from training.recipe import Data, Recipe
from training.release import release
from vidpred_ros.models import CARD, WEIGHTS, ModelCard, Training
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import (
    LABEL_KINDS,
    WINDOW,
    HierarchicalConfig,
    MultiScaleConfig,
    NetworkConfig,
    StochasticConfig,
)
from vidpred_ros.semantics import CLASS_NAMES

SIZE = (32, 48)
#: Of the tiny models of label maps: a label map's, and a segmenter's frame, which is twice as large.
LABEL_SIZE, SEGMENTER_SIZE = (32, 64), (64, 128)
#: Settings of a small network of each kind.
TINY: dict[str, dict[str, Any]] = {
    "hierarchical": {"width": 0.1, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 5}
    | {"sway": True, "steady": True},
    "multiscale": {"width": 0.05, "max_steps": 5},
    "stochastic": {"width": 0.1, "size": SIZE, "features": 16, "latent": 3, "hidden": 16, "max_steps": 5},
    "segmenter": {"features": 8, "size": SEGMENTER_SIZE},
    "structure": {"width": 0.1, "size": LABEL_SIZE, "motion_prior": "dis", "max_steps": 5},
    "s2s": {"width": 0.05, "size": LABEL_SIZE, "max_steps": 5},
    "edges": {"width": 0.05, "blocks": 1},
    "pixels": {"width": 0.05, "downsamplings": 1, "blocks": 1, "past": 2},
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
    of_labels = kind in LABEL_KINDS
    data, loss = Data(train=["synthetic:seed=1"], size=LABEL_SIZE if of_labels else SIZE), {"bce": 1} if kind == "edges" else {}
    recipe = Recipe.model_validate({"network": values, "data": data, "loss": loss, "steps": 1})
    weights = (random_label_network if of_labels else random_network)(recipe.network).state_dict()
    empty = {"networks": {}, "optimizers": {}, "scaler": {}, "best": None}
    checkpoint.save(path, {"recipe": recipe.model_dump(mode="json"), "step": 0, "released": weights, **empty})
    return path


def random_label_network(config: Any, seed: int = 0) -> nn.Module:
    """A network of label maps whose every weight matters, the zeros that it starts with included."""
    torch.manual_seed(seed)
    network = make_network(config)
    for name, parameter in network.named_parameters():
        if parameter.abs().max() == 0:
            nn.init.normal_(parameter)
        elif name == "scale":
            nn.init.ones_(parameter)  # the motion prior leaves room for the rest
    return network.eval()


def make_label_model(folder: Path, kind: str, seed: int, **settings: Any) -> Path:
    """A model folder of a random network of label maps, as a release would make it."""
    config = TypeAdapter(NetworkConfig).validate_python({"kind": kind} | TINY[kind] | settings)
    network = random_label_network(config, seed)
    folder.mkdir(parents=True)
    weights = {n: (w.half() if w.is_floating_point() else w).contiguous() for n, w in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    card = ModelCard(
        id=folder.name,
        network=config,
        parameters=sum(p.numel() for p in network.parameters()),
        size=getattr(config, "size", LABEL_SIZE),
        period=0.1,
        window={"structure": 4, "s2s": 4, "pixels": TINY["pixels"]["past"]}.get(kind, 1),
        classes=list(CLASS_NAMES[: config.classes]),
        training=Training(recipe="tiny", steps=0, data=[], licence="none: random weights", seed=seed),
        weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
    )
    (folder / CARD).write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False))
    return folder


def make_model(folder: Path, name: str = "tiny", kind: str = "hierarchical", **settings: Any) -> Path:
    """A model folder of a random network of a kind with ``settings`` of its config."""
    if kind in LABEL_KINDS:
        return make_label_model(folder / name, kind, 0, **settings)
    release(make_checkpoint(folder / f"{name}.pt", kind, **settings), folder / name, "none: random weights")
    return folder / name
