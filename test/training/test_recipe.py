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
        ("data.size=[100, 160]", "data.size.0: .*multiple of 16"),
        ("data.crop=[1.0, 0.6]", "crop: 1.0 is above 0.6"),
        ("data.crop=[0.5, 2.0]", "data.crop.1: .*less than or equal to 1"),
        ("data.rates=[0, 10]", "data.rates.0: .*greater than 0"),
        ("schedule=sawtooth", "schedule: .*'constant' or 'cosine'"),
        ("lr", "expected key=value"),
        ("lr=[1", r"\[1 is no YAML value"),
        ("steps.of=1", "steps in .* has no keys below it"),
    ],
)
def test_wrong_keys_and_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("hrp_tree_w25", [override])


@pytest.mark.parametrize(("text", "message"), [("network: {", "cannot be read"), ("", "no keys"), ("- a", "no keys")])
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"odd.yaml .*{message}"):
        load_recipe(str(tmp_path / "odd.yaml"))


def test_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shouno_phase1"):
        load_recipe("shuno")
