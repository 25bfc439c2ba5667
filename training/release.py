"""Make a released model of a checkpoint: `python -m training.release runs/NAME/last.pt --out models/NAME`.

Writes weights.safetensors (float16) and model.yaml; `python -m training.scores` adds measured scores, README.md is yours.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated

import torch
import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from safetensors.torch import save_file

from training import checkpoint
from training.recipe import Recipe
from vidpred_ros.errors import ConfigError, ModelError, VidpredError
from vidpred_ros.models import CARD, MODEL_ID, WEIGHTS, ModelCard, Training, read_card
from vidpred_ros.networks import make_network

console = Console(stderr=True)


def release(path: Path, out: Path, licence: str) -> ModelCard:
    """Write the model folder ``out`` from a checkpoint; scores that its model.yaml held are kept only if the weights are.

    float16 halves the files; batch norm statistics stay within its range because inputs are scaled to about 1.
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
    network.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in weights.items()})
    if not all(torch.isfinite(p).all() for p in network.state_dict().values()):
        raise ModelError(f"{path}: a weight or a statistic does not fit into float16")
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / WEIGHTS, metadata={"recipe": out.name})
    (out / WEIGHTS).chmod(0o644)  # safetensors writes for the owner only
    digest = hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest()
    scores = []
    if (out / CARD).is_file() and (old := read_card(out)).weights_sha256 == digest:
        scores = old.scores
    card = ModelCard(
        id=out.name,
        network=recipe.network,
        parameters=sum(p.numel() for p in network.parameters()),
        size=recipe.data.size,
        period=recipe.data.period,
        training=Training(
            recipe=state.get("name") or out.name,
            steps=state["step"],
            data=[text.rsplit("/", 1)[-1] for text in recipe.data.train],
            licence=licence,
            seed=recipe.seed,
        ),
        scores=scores,
        weights_sha256=digest,
    )
    (out / CARD).write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, width=100))
    return card


def main(
    path: Annotated[Path, typer.Argument(help="a checkpoint of training.train")],
    out: Annotated[Path, typer.Option(help="the model's folder; its name is the model's id")],
    licence: Annotated[str, typer.Option(help="licence of the training data, which binds users of the weights")],
) -> None:
    """Make a released model of a checkpoint."""
    try:
        card = release(path, out, licence)
    except VidpredError as error:
        console.print(f"[red]error:[/red] {error}", soft_wrap=True)
        raise typer.Exit(2) from None
    size = (out / WEIGHTS).stat().st_size / 1e6
    console.print(f"{out}: {card.parameters / 1e6:.1f} M parameters, {size:.1f} MB, {card.training.steps} steps")


if __name__ == "__main__":
    typer.run(main)
