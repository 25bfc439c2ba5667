"""Every recipe that ships trains, resumes and becomes a released model, on small frames and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training import checkpoint
from training.recipe import RECIPES, Recipe, load_recipe
from training.release import release
from training.train import run
from vidpred_ros.models import ReleasedModel
from vidpred_ros.networks.config import LABEL_KINDS

#: Side of a square frame of each kind of network; of the others 48.
SIDES = {"stochastic": 64} | dict.fromkeys(LABEL_KINDS, 32)
#: What makes a small network of each kind, where it has the setting.
SMALL = {"width": 0.05, "features": 8, "blocks": 1, "context": 2}


def small(name: str, first_part: bool) -> Recipe:
    """The recipe with little of everything: one update in each of its phases, or the part of it before a checkpoint."""
    values: dict[str, Any] = load_recipe(name).model_dump()
    network, loss = values["network"], values["loss"]
    side = SIDES.get(network["kind"], 48)
    data = {"train": ["synthetic:seed=4,seconds=3,rate=10,width=96,height=64"], "validate_on": [], "size": [side, side]}
    data |= {"workers": 0, "bank": None, "rates": [10, 10], "weights": {}, "crop": [1, 1]}
    data |= {"patch": 32} if values["data"]["patch"] else {}
    values["data"] |= data
    network |= {key: value for key, value in SMALL.items() if key in network}
    network |= {"size": [side, side]} if "size" in network else {}
    network |= {"downsamplings": 1} if "downsamplings" in network else {}
    values |= {"batch": 2, "accumulate": 1, "init": None, "steps": min(values["steps"], 1)}
    if network["kind"] in LABEL_KINDS:
        values["futures_per_step"] = min(2, values["futures_per_step"])
        loss |= {"frames": 2} if "frames" in loss else {}
    if values["adversarial"]:
        phases = values["adversarial"]
        phases |= {"warmup_steps": min(phases["warmup_steps"], 1), "updates": 1, "width": 0.03, "steps": 1 if first_part else 2}
    elif not first_part:
        values["steps"] = 2
    return Recipe.model_validate(values)


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.yaml")))
def test_a_recipe_trains_resumes_and_becomes_a_model(name: str, tmp_path: Path) -> None:
    run(small(name, first_part=True), tmp_path, name)
    whole = small(name, first_part=False)
    state = checkpoint.load(run(whole, tmp_path, name))
    assert state["step"] == whole.total_steps and state["name"] == name
    release(tmp_path / "last.pt", tmp_path / "model", "ours")
    card = ReleasedModel(tmp_path / "model").card
    assert card.training.recipe == name and card.network == whole.network
    if whole.network.kind in LABEL_KINDS:
        assert card.window == whole.context and (card.classes == []) == (name == "hvp_rgb")
