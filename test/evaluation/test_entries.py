"""Models and sequences of a table, by all the names that they may be given."""

import json
import shutil

import cv2
import numpy as np
import pytest

from vidpred_ros.errors import ConfigError, ModelError, SourceError
from vidpred_ros.evaluation.entries import find_entry, find_sequences


@pytest.fixture
def drives(tmp_path):
    """Two sequences, one that holds labels only, and splits of them."""
    for name in ("a", "b"):
        (tmp_path / name / "frames").mkdir(parents=True)
        for i in range(2):
            cv2.imwrite(str(tmp_path / name / "frames" / f"{i}.png"), np.full((8, 8, 3), i, np.uint8))
    (tmp_path / "labels_only" / "labels").mkdir(parents=True)
    splits = {"train": ["a", "labels_only"], "val": ["b"]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    return tmp_path


def test_a_folder_of_sequences(drives):
    found, left_out = find_sequences([str(drives)])
    assert list(found) == ["a", "b"]
    assert "no images" in left_out["labels_only"]
    assert found["b"].name == str(drives / "b")


def test_a_split_of_it(drives):
    assert list(find_sequences([str(drives)], "val")[0]) == ["b"]
    found, left_out = find_sequences([str(drives), "synthetic:seed=1,seconds=1"], "train")
    assert [name.split(",")[0] for name in found] == ["a", "synthetic:seed=1"]
    assert list(left_out) == ["labels_only"]


def test_sequences_of_the_same_name_keep_apart(drives):
    (drives / "more").mkdir()
    shutil.copytree(drives / "a", drives / "more" / "a")
    found, _ = find_sequences([str(drives / "a"), str(drives / "more" / "a")])
    assert list(found) == ["a", str(drives / "more" / "a")]


def test_mistakes_about_data(drives):
    with pytest.raises(ConfigError, match="--split test: .* has train, val"):
        find_sequences([str(drives)], "test")
    with pytest.raises(ConfigError, match="--split val is for a folder"):
        find_sequences([str(drives / "a")], "val")
    with pytest.raises(SourceError, match="does not exist"):
        find_sequences([str(drives / "c")])
    with pytest.raises(SourceError, match="holds no sequence"):
        find_sequences([str(drives / "labels_only")])


def test_a_model_by_name_and_by_folder(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDPRED_MODELS", str(tiny_model.parent))
    by_name, by_folder = find_entry(tiny_model.name, tmp_path), find_entry(str(tiny_model), tmp_path)
    assert by_name == by_folder
    assert by_name.card.weights_sha256
    assert by_name.row == tiny_model.name


def test_a_run_by_the_name_of_its_recipe(tmp_path):
    pytest.importorskip("torch")
    from helpers.models import make_checkpoint

    run = tmp_path / "runs" / "shouno_some"
    run.mkdir(parents=True)
    make_checkpoint(run / "last.pt")
    by_recipe = find_entry("shouno_some", tmp_path / "runs")
    assert by_recipe.row == "shouno_some"
    assert by_recipe == find_entry(str(run), tmp_path) == find_entry(str(run / "last.pt"), tmp_path)
    weights = (by_recipe.folder / "weights.safetensors").stat().st_mtime_ns
    find_entry("shouno_some", tmp_path / "runs")
    assert (by_recipe.folder / "weights.safetensors").stat().st_mtime_ns == weights  # released once


def test_the_best_checkpoint_of_a_run_goes_first_and_a_broken_one_is_named(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "best.pt").write_bytes(b"no checkpoint")
    (tmp_path / "last.pt").write_bytes(b"neither")
    with pytest.raises(ModelError, match="best.pt cannot be exported"):
        find_entry(str(tmp_path), tmp_path)


def test_no_such_model(tmp_path):
    with pytest.raises(ModelError, match="no model 'nope'.* nor a run: .*nope holds no best.pt or last.pt"):
        find_entry("nope", tmp_path)
    with pytest.raises(ModelError, match="nope.pt does not exist"):
        find_entry(str(tmp_path / "nope.pt"), tmp_path)
