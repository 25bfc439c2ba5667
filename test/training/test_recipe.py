from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.recipe import RECIPES, load_recipe
from vidpred_ros.errors import ConfigError

BASE = {
    "network": {"width": 0.25, "form": "tree"},
    "data": {"train": ["synthetic:seed=1"]},
    "loss": {"vgg": 20},
    "steps": 5,
}


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.yaml")))
def test_every_recipe_that_ships_is_valid(name: str) -> None:
    assert load_recipe(name).total_steps > 0


@pytest.mark.parametrize(
    ("name", "vgg", "gan"),
    [
        ("shouno_g_mae", 0, False),
        ("shouno_g_vgg", 400, False),
        ("shouno_gan_mae", 0, True),
        ("shouno_gan_vgg", 400, True),
    ],
)
def test_shounos_variants_are_the_papers(name: str, vgg: float, gan: bool) -> None:
    recipe = load_recipe(name)
    assert (recipe.loss.mae, recipe.loss.vgg, recipe.loss.vgg_crop) == (1000, vgg, None)
    assert (recipe.optimizer, recipe.lr, recipe.betas, recipe.schedule) == ("adam", 1e-4, (0.0, 0.9), "constant")
    assert (recipe.batch, recipe.data.flip, recipe.data.size, recipe.futures) == (8, 0.5, (128, 160), 1)
    assert recipe.network.form == "paper" and recipe.network.channels == (64, 128, 256, 512)
    assert (recipe.adversarial is not None) == gan
    if recipe.adversarial is not None:
        phases = recipe.adversarial
        assert (phases.weight, phases.updates, phases.width) == (1, 8, 1)
        assert (phases.lr, phases.discriminator_lr) == (2e-5, 1e-4)
        assert recipe.steps > 0 and phases.warmup_steps > 0 and phases.steps % 9 == 0


def test_overrides_descend_and_are_typed() -> None:
    recipe = load_recipe("hrp_tree_w25", ["network.width=0.5", "lr=2e-4", "data.size=[64, 80]"])
    assert recipe.network.width == 0.5 and recipe.lr == pytest.approx(2e-4) and recipe.data.size == (64, 80)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lerning_rate=1", "lerning_rate: no such key$"),
        ("validate_evry=1", r"validate_evry: no such key; did you mean validate_every\?"),
        ("network.widht=1", r"network\.widht: no such key; did you mean network\.width\?"),
        ("loss.vgg_corp=1", r"loss\.vgg_corp: no such key; did you mean loss\.vgg_crop\?"),
        ("data.filp=1", r"data\.filp: no such key; did you mean data\.flip\?"),
        ("adversarial.step=1", r"adversarial\.step: no such key; did you mean adversarial\.steps\?"),
        ("loss.lp=1", r"loss\.lp: no such key"),
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
    with pytest.raises(ConfigError, match="shouno_gan_vgg"):
        load_recipe("shuno")


def test_svg_is_the_papers() -> None:
    fixed, learned, perceptual = (load_recipe(name) for name in ("svg_fp", "svg_lp", "svg_pl"))
    assert (learned.lr, learned.betas, learned.batch, learned.loss.beta) == (2e-3, (0.9, 0.999), 100, 1e-4)
    assert (learned.network.features, learned.network.latent, learned.network.hidden) == (128, 64, 256)
    assert (learned.futures, learned.data.size, learned.network.width) == (10, (64, 64), 1.0)
    assert (fixed.network.prior, learned.network.prior, perceptual.network.prior) == ("fixed", "learned", "learned")
    assert not any(learned.loss.vgg) and all(perceptual.loss.vgg)
    differing = {key for key, value in learned.model_dump().items() if value != perceptual.model_dump()[key]}
    assert differing == {"loss"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.size=[128, 160]", r"network\.size: data\.size must be the same, \(64, 64\)"),
        ("data.patch=32", "without data.patch"),
        ("adversarial={steps: 1, lr: 1.0e-4, discriminator_lr: 1.0e-4}", "a stochastic network has no discriminator"),
        ("loss.vgg=[1, 1]", "loss.vgg.2: Field required"),
    ],
)
def test_what_svg_cannot_do_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("svg_lp", [override])


def test_a_recipe_may_extend_another_and_change_some_of_its_keys(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    (tmp_path / "mine.yaml").write_text("extends: base\nnetwork: {width: 0.5}\nsteps: 7\n")
    base, mine = (load_recipe(str(tmp_path / f"{name}.yaml")) for name in ("base", "mine"))
    assert mine == base.model_copy(update={"steps": 7, "network": base.network.model_copy(update={"width": 0.5})})
    (tmp_path / "other.yaml").write_text("extends: base\nnetwork: {kind: multiscale}\nloss: {p: 1}\n")
    other = load_recipe(str(tmp_path / "other.yaml"))
    assert other.data == base.data and other.network.kind == "multiscale" and other.loss.kind == "multiscale"
    (tmp_path / "lost.yaml").write_text("extends: nowhere\n")
    with pytest.raises(ConfigError, match="no recipe .*nowhere.yaml"):
        load_recipe(str(tmp_path / "lost.yaml"))
    (tmp_path / "wider.yaml").write_text("extends: other\nnetwork: {kind: multiscale, width: 0.5}\n")
    wider = load_recipe(str(tmp_path / "wider.yaml"))
    assert wider.network.width == 0.5 and wider.loss == other.loss  # the same kind, although it is named again


def test_a_recipe_of_ones_own_may_extend_one_that_ships(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: hrp_tree_w25\ndata: {train: [drives/monday]}\n")
    shipped = load_recipe("hrp_tree_w25")
    data = shipped.data.model_copy(update={"train": ["drives/monday"]})
    assert load_recipe(str(tmp_path / "mine.yaml")) == shipped.model_copy(update={"data": data})


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").write_text("extends: round\n")
    (tmp_path / "round.yaml").write_text("extends: loop\n")
    with pytest.raises(ConfigError, match="round.yaml: extends: expected the name of another recipe, not 'loop'"):
        load_recipe(str(tmp_path / "loop.yaml"))
