"""From names to files: what is measured, what is known already, and what cannot take part."""

import json
from pathlib import Path

import pytest
from helpers.jobs import write_drive

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation import table_run
from vidpred_ros.evaluation.entries import Entry
from vidpred_ros.evaluation.jobs import attempt
from vidpred_ros.evaluation.table_run import run_table
from vidpred_ros.models import find_model
from vidpred_ros.sources import open_source


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives")
    return [str(write_drive(folder / name, seed)) for seed, name in enumerate(("first", "second"))]


@pytest.fixture
def measured(monkeypatch):
    """The jobs that were run; in this process."""
    ran = []

    def here(jobs, workers, command):
        for job in jobs:
            ran.append(job)
            yield job, attempt(job, command)

    monkeypatch.setattr(table_run, "in_processes", here)
    return ran


def run(models, out, data, steps=1, **options):
    seen = []
    settings = {"split": None, "engine": None, "samples": 2, "seed": 0, "runs": Path("runs"), "workers": 1, "ray": None}
    settings |= {"steps": steps, "command": "vidpred table", "show": lambda *words: seen.append(words)} | options
    return run_table(models, data, settings.pop("split"), out, **settings), seen


def test_baselines_are_always_there(measured, drives, tmp_path):
    table, seen = run(["copy_last"], tmp_path, drives)
    assert sorted(row.name for row in table.rows) == ["copy_last", "optical_flow"]
    assert len(table.sequences) == 2
    assert len(measured) == 4
    assert seen[0] == (0, 48, "measuring")
    assert seen[-1][:2] == (48, 48)
    assert {path.name for path in tmp_path.iterdir()} == {
        "results", "table.md", "table.csv", "table.json", "table.png", "table.svg",
    }  # fmt: skip


def test_what_is_known_is_not_measured_again(measured, drives, tmp_path):
    first, _ = run(["copy_last"], tmp_path, drives[:1])
    del measured[:]
    second, seen = run(["copy_last"], tmp_path, drives)
    assert {job.source for job in measured} == {drives[1]}
    assert seen[0] == (24, 48, "2 of 4 known")
    run(["copy_last"], tmp_path, drives, steps=2)
    assert len(measured) == 2 + 4
    assert first.results["copy_last", first.sequences[0]] == second.results["copy_last", first.sequences[0]]


def test_a_model_that_fails_is_named_and_the_others_go_on(measured, drives, tmp_path):
    table, _ = run(["nope", "copy_last"], tmp_path, drives[:1])
    assert {row.name for row in table.rows} == {"copy_last", "optical_flow"}
    assert "no model 'nope'" in table.failed["nope", "all sequences"]
    assert "nope on all sequences" in (tmp_path / "table.md").read_text()


def test_nothing_to_show_is_an_error(measured, drives, tmp_path):
    with pytest.raises(VidpredError, match="nothing could be measured: .*no run of 13 frames"):
        run(["copy_last"], tmp_path / "out", drives[:1], steps=5)
    assert not (tmp_path / "out" / "table.md").exists()


def test_a_released_model_at_its_own_size(measured, drives, tiny_model, tmp_path):
    table, _ = run([str(tiny_model)], tmp_path, drives[:1], engine="torch")
    assert not table.failed, table.failed
    name = find_model(str(tiny_model)).id
    assert {row.name for row in table.rows} == {name, "copy_last", "optical_flow"}
    assert {job.size for job in measured} == {find_model(str(tiny_model)).card.size}
    text = (tmp_path / "table.md").read_text()
    assert f"`{name}`: hierarchical" in text
    assert "engine torch fp32" in text
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["models"][name]["weights_sha256"] in {one["weights_sha256"] for one in content["measurements"]}


def test_models_of_another_size_have_no_place(measured, drives, tiny_model, tmp_path, monkeypatch):
    model = find_model(str(tiny_model))
    entries = {
        "small": Entry("small", model.folder, model.card),
        "large": Entry("large", model.folder, model.card.model_copy(update={"size": (64, 80)})),
        "twin": Entry("small", model.folder, model.card),
    }
    monkeypatch.setattr(table_run, "find_entry", lambda text, runs: entries[text])
    monkeypatch.setattr(table_run, "_measure", lambda *words: ({}, {}))
    with pytest.raises(VidpredError) as caught:
        run(["small", "large", "twin"], tmp_path, drives[:1])
    assert "80x64 every 0.1 s cannot be compared" in str(caught.value)
    assert "a row small already" in str(caught.value)


class _Noisy:
    def __init__(self, network):
        self.network, self.noise_channels, self.model_dump_json = network, 3, network.model_dump_json


def test_only_stochastic_models_draw(measured, drives, tiny_model, tmp_path, monkeypatch):
    model = find_model(str(tiny_model))
    network = model.card.network.model_copy(update={"kind": "stochastic"})
    drawing = Entry("svg", model.folder, model.card.model_copy(update={"network": _Noisy(network)}))
    jobs = table_run._jobs([Entry("m", model.folder, model.card), drawing], {"s": open_source(drives[0])}, None, 1, 20, 7)
    assert {job.row: (job.samples, job.seed) for job in jobs} == {
        "copy_last": (0, 0), "optical_flow": (0, 0), "m": (0, 0), "svg": (20, 7),
    }  # fmt: skip
