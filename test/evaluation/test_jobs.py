"""One cell of a table: what it measures, what identifies it, and how it is kept."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.jobs import copy_job, write_drive
from helpers.models import make_model

from vidpred_ros.evaluation import jobs
from vidpred_ros.evaluation.jobs import attempt, keep, kept, run_job, scores_of, settings_of
from vidpred_ros.evaluation.run import evaluate
from vidpred_ros.evaluation.scores import horizons
from vidpred_ros.models import find_model
from vidpred_ros.networks.config import StructureConfig
from vidpred_ros.predictors import make_predictor
from vidpred_ros.sources import open_source

MODEL = replace(copy_job(Path("drive")), row="m", model="models/m", weights_sha256="w" * 64)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copy_job(write_drive(tmp_path_factory.mktemp("drives") / "drive"))


@pytest.fixture(scope="module")
def result(copy):
    return run_job(copy, "vidpred table")


def test_the_numbers_are_those_of_evaluate(copy, result, tmp_path):
    predictor = make_predictor("copy_last", steps=1, size=copy.size)
    expected = evaluate(open_source(copy.source), predictor, tmp_path, "x")
    methods = result["horizons"][0]["methods"]
    assert list(methods) == ["predictor"]
    assert methods["predictor"] == expected["horizons"][0]["methods"]["copy_last"]
    assert result["protocol"] == expected["protocol"] | {"command": "vidpred table"}


def test_every_window_is_there_too(result):
    again = json.loads(json.dumps(result))
    assert len(scores_of(again)) == result["protocol"]["windows"] == 12 - 8
    assert horizons(scores_of(again), 0.1, {}) == result["horizons"]


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "x" * 64},
        {"settings": "steady"},
        {"data_sha256": "e" * 64},
        {"steps": 2},
        {"engine": "openvino"},
        {"size": (64, 80)},
        {"period_s": 0.2},
        {"samples": 20},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_the_numbers_is_in_the_key(change):
    assert replace(MODEL, **change).key != MODEL.key


@pytest.mark.parametrize(
    "change", [{"row": "n"}, {"model": "elsewhere/m"}, {"source": "copy.mcap"}, {"seed": 7}], ids=lambda c: next(iter(c))
)
def test_nothing_else_is(change):
    assert replace(MODEL, **change).key == MODEL.key


def test_the_settings_are_the_networks_and_those_of_what_moves_its_label_maps(tmp_path):
    movers = [make_model(tmp_path, "one"), make_model(tmp_path, "other", dropout=0.2)]
    found = [settings_of(find_model(str(mover)).card) for mover in movers]
    structures = [StructureConfig(kind="structure", motion_prior="frames", motion_model=str(mover)) for mover in movers]
    found += [settings_of(SimpleNamespace(network=network)) for network in structures]
    assert len(set(found)) == 4
    make_model(tmp_path, "other", dropout=0.3)
    assert settings_of(SimpleNamespace(network=structures[1])) != found[3]


def test_the_seed_counts_where_something_is_drawn():
    drawn = replace(MODEL, samples=20)
    assert replace(drawn, seed=1).key != drawn.key


def test_baselines_differ_by_name():
    copy = copy_job(Path("drive"))
    assert replace(copy, model="optical_flow").key != copy.key


def test_kept_until_something_changes(copy, result, tmp_path, monkeypatch):
    folder = tmp_path / "new"
    assert kept(copy, folder) is None
    keep(copy, result, folder)
    assert kept(copy, folder) == result
    assert kept(replace(copy, data_sha256="e" * 64), folder) is None
    assert [file.suffix for file in folder.iterdir()] == [".json"]
    monkeypatch.setattr(jobs, "RESULT_VERSION", 2)
    assert kept(copy, folder) is None


def test_a_damaged_file_is_measured_again(copy, result, tmp_path):
    keep(copy, result, tmp_path)
    (tmp_path / copy.file).write_text('{"key": ')
    assert kept(copy, tmp_path) is None


def test_a_source_without_a_window_is_left_out(copy):
    assert "no run of 14 frames" in run_job(replace(copy, steps=6))["left_out"]


def test_a_failure_is_a_result(copy):
    assert "no_such_model" in attempt(replace(copy, model="no_such_model"))["error"]
    assert attempt(replace(copy, steps=None))["error"].startswith("TypeError")  # a defect of ours, say
