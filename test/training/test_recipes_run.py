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


def small(name: str, first_part: bool) -> Recipe:
    """The recipe with little of everything: one update in each of its phases, or the part of it before a checkpoint."""
    values: dict[str, Any] = load_recipe(name).model_dump()
    side = 64 if values["network"]["kind"] == "stochastic" else 48
    data = {"train": ["synthetic:seed=4,seconds=3,rate=10,width=96,height=64"], "validate_on": [], "size": [side, side]}
    data |= {"workers": 0, "bank": None, "rates": [10, 10], "weights": {}}
    data |= {"patch": 32} if values["data"]["patch"] else {}
    values["data"] |= data
    values["network"] |= {"width": 0.05} | ({"size": [side, side]} if side == 64 else {})
    values |= {"batch": 2, "init": None, "steps": min(values["steps"], 1)}
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
