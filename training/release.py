"""A checkpoint becomes a released model: weights.safetensors (float16), model.yaml and recipe.yaml (`vidpred export`)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save_file

from training import checkpoint
from training.datasets.layouts import READERS
from training.recipe import Recipe
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.models import CARD, MODEL_ID, RECIPE, WEIGHTS, ModelCard, Training, read_card
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import LABEL_KINDS
from vidpred_ros.semantics import CLASS_NAMES

#: What a network's inputs are made of, for its card.
NORMALISATION = {
    "frames": "RGB, uint8 divided by 255",
    "labels": "label maps: Cityscapes train ids, one-hot, 255 all zeros; frames: RGB, uint8 divided by 255",
}


def release(path: Path, out: Path, licence: str) -> ModelCard:
    """Write the model folder ``out`` from a checkpoint; scores that its model.yaml held are kept only if weights and settings are.

    float16 halves the files; batch norm statistics stay within its range because inputs are scaled to about 1. Raises
    ConfigError for a folder's name that cannot be a model's, ModelError for what is no checkpoint or does not fit float16.
    """
    if not re.fullmatch(MODEL_ID, out.name):
        raise ConfigError(f"--out {out}: the folder's name is the model's id: small letters, digits, '_', '-' and '.'")
    state = checkpoint.load(path)
    try:
        recipe = Recipe.model_validate(state["recipe"])
    except ValidationError as error:
        raise ModelError(f"{path}: its recipe is not one of this version: {error}") from None
    weights = {
        name: (w.half() if w.is_floating_point() else w).contiguous() for name, w in state["released"].items()
    }
    network = make_network(recipe.network)
    try:
        network.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in weights.items()})
    except RuntimeError as error:
        raise ModelError(f"{path}: its weights are not those of this version's {recipe.network.kind} network: {error}") from None
    if not all(torch.isfinite(p).all() for p in network.state_dict().values()):
        raise ModelError(f"{path}: a weight or a statistic does not fit into float16")
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / WEIGHTS, metadata={"recipe": out.name})
    (out / WEIGHTS).chmod(0o644)  # safetensors writes for the owner only
    digest = hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest()
    scores = []
    if (out / CARD).is_file() and ((old := read_card(out)).weights_sha256, old.network) == (digest, recipe.network):
        scores = old.scores  # some settings change what is computed and not the weights
    card = ModelCard(
        id=out.name,
        network=recipe.network,
        parameters=sum(p.numel() for p in network.parameters()),
        size=getattr(recipe.network, "size", recipe.data.size),
        period=recipe.data.period,
        window=recipe.context,
        classes=list(CLASS_NAMES) if with_labels(recipe) else [],
        normalisation=NORMALISATION["labels" if with_labels(recipe) and recipe.network.kind != "segmenter" else "frames"],
        training=Training(
            recipe=state.get("name") or out.name,
            steps=state["step"],
            data=[name_of(text) for text in recipe.data.train],
            licence=licence,
            seed=recipe.seed,
        ),
        scores=scores,
        weights_sha256=digest,
    )
    (out / CARD).write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, width=100))
    (out / RECIPE).write_text(yaml.safe_dump(state["recipe"], sort_keys=False, width=100, default_flow_style=None))
    return card


def with_labels(recipe: Recipe) -> bool:
    """Whether the network has to do with label maps: in space "rgb" a structure generator has not."""
    network = recipe.network
    return network.kind in LABEL_KINDS and not (network.kind == "structure" and network.space == "rgb")


def name_of(text: str) -> str:
    """What a card calls a training source: a data set, or the last part of a path; no folder of this machine."""
    place, mark, options = text.partition("?")
    name = place.partition(":")[0]
    if name not in READERS:
        name = place.rstrip("/").rpartition("/")[2]
    return name + mark + options
