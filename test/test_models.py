from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from vidpred_ros.errors import ModelError
from vidpred_ros.models import CARD, WEIGHTS, ReleasedModel, find_model, list_models


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "tiny"))


def test_a_model_is_found_by_name_and_by_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_MODELS", str(folder.parent))
    assert find_model("tiny").folder == folder and find_model(str(folder)).id == "tiny"
    assert "tiny" in [model.id for model in list_models()]
    elsewhere = folder.parent / "elsewhere"
    (elsewhere / "tiny").mkdir(parents=True)  # a folder that happens to have a model's name is none
    monkeypatch.chdir(elsewhere)
    assert find_model("tiny").folder == folder
    with pytest.raises(ModelError, match="no model 'tinny'.*tiny.*nor a baseline"):
        find_model("tinny")


def test_of_what_there_is_only_the_kind_that_fits_is_named() -> None:
    with pytest.raises(ModelError) as error:
        find_model("nothing", ["segmenter"])
    assert "(segmenter_lite0)" in str(error.value) and "baseline" not in str(error.value)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in (Path(__file__).parents[1] / "models").glob(f"*/{CARD}")))
def test_released_models_are_whole(name: str) -> None:
    model = find_model(name)
    assert model.id == name and model.verified_weights.stat().st_size <= 32 * 2**20
    assert model.card.scores, "a released model states its scores"


def test_truncated_weights_are_refused(folder: Path) -> None:
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="truncated or changed"):
        _ = ReleasedModel(folder).verified_weights
    weights.unlink()
    with pytest.raises(ModelError, match="is missing"):
        _ = ReleasedModel(folder).verified_weights


def test_a_wrong_card_names_the_key(folder: Path) -> None:
    card = yaml.safe_load((folder / CARD).read_text())
    (folder / CARD).write_text(yaml.safe_dump(card | {"period": -1, "colour": "blue"}))
    with pytest.raises(ModelError, match=r"model\.yaml: .*period.*colour"):
        ReleasedModel(folder)
    for network in ({"kind": "diffusion"}, {"kind": ["multiscale"]}, None):
        (folder / CARD).write_text(yaml.safe_dump(card | {"network": network}))
        with pytest.raises(ModelError, match=r"network: expected .* hierarchical, multiscale, .*pixels"):
            ReleasedModel(folder)
    (folder / CARD).write_text(yaml.safe_dump(card | {"network": {"kind": "stochastic", "size": [64, 64]}}))
    with pytest.raises(ModelError, match="this network has one size only"):
        ReleasedModel(folder)
    (folder / CARD).write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        ReleasedModel(folder)
    (folder / CARD).unlink()
    with pytest.raises(ModelError, match="is no model folder"):
        ReleasedModel(folder)
