from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import RECIPES, load_recipe
from vidpred_ros.errors import ConfigError


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.yaml")))
def test_every_recipe_that_ships_is_valid(name: str) -> None:
    assert load_recipe(name).steps > 0


def test_shouno_phase_one_is_the_papers() -> None:
    recipe = load_recipe("shouno_phase1")
    assert (recipe.loss.mae, recipe.loss.vgg) == (1000, 400)
    assert (recipe.lr, recipe.betas, recipe.batch, recipe.data.flip) == (1e-4, (0.0, 0.9), 8, 0.5)
    assert recipe.network.channels == (64, 128, 256, 512) and recipe.data.size == (128, 160)


def test_overrides_descend_and_are_typed() -> None:
    recipe = load_recipe("hrp_tree_w25", ["network.width=0.5", "lr=2e-4", "data.size=[64, 80]"])
    assert recipe.network.width == 0.5 and recipe.lr == pytest.approx(2e-4) and recipe.data.size == (64, 80)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lerning_rate=1", "lerning_rate: Extra inputs"),
        ("network.width=-1", "network.width: .*greater than 0"),
        ("data.size=[100, 160]", "sides that 16 divides"),
        ("lr", "expected key=value"),
    ],
)
def test_wrong_keys_and_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("hrp_tree_w25", [override])


def test_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shouno_phase1"):
        load_recipe("shuno")
