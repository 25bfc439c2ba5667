"""A table of structure models, from names to files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.labels import ColourSegmenter, Guesser, write_label_drive

from vidpred_ros.evaluation import label_jobs, table_run
from vidpred_ros.evaluation.entries import Entry
from vidpred_ros.evaluation.jobs import attempt
from vidpred_ros.evaluation.label_jobs import LabelSettings
from vidpred_ros.evaluation.label_table import horizon_of
from vidpred_ros.evaluation.label_trials import StructureLane
from vidpred_ros.evaluation.table_run import run_table
from vidpred_ros.models import find_model

pytest.importorskip("torch")  # it makes the model folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from helpers.models import make_model

    folder = tmp_path_factory.mktemp("models")
    prior = {"motion_prior": "frames", "motion_model": "hrp_tree_w25"}
    return [make_model(folder, "structure", "structure", **prior), make_model(folder, "segmenter", "segmenter")]


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives")
    lengths = {"first": 12, "second": 10, "short": 5}
    return [str(write_label_drive(folder / name, n, pseudo=name == "second")) for name, n in lengths.items()]


@pytest.fixture
def measured(monkeypatch):
    """The jobs that were run; in this process, with a lane that needs no weights."""
    ran = []

    def here(jobs, workers, command):
        for job in jobs:
            ran.append(job)
            yield job, attempt(job, command)

    def lane(name, segmenter, engine, steps, samples, period_s, context, class_table):
        return StructureLane(Guesser(steps, period_s, samples or 8), ColourSegmenter(8), context, samples)

    monkeypatch.setattr(table_run, "in_processes", here)
    monkeypatch.setattr(label_jobs, "open_lane", lane)
    return ran


def run(models, out, data, **options):
    settings = {"split": None, "engine": None, "samples": 20, "seed": 0, "runs": Path("runs"), "workers": 1, "ray": None}
    settings |= {"steps": 2, "command": "vidpred table", "show": lambda *words: None} | options
    return run_table([str(m) for m in models], data, settings.pop("split"), out, **settings)


def test_a_table_has_models_baselines_and_the_ceiling(measured, model, drives, tmp_path):
    labels = LabelSettings(str(model[1]))
    table = run(model[:1], tmp_path, drives, labels=labels)
    names = [row.name for row in table.rows]
    assert sorted(names[:2]) == ["structure", "structure, best of 8"]
    assert names[2:] == ["copy_last", "optical_flow", "segmenter"]
    assert table.sequences == ["first", "second"]
    assert "no run of 6 frames" in table.left_out["short"]
    rows = {row.name: row for row in table.rows}
    for name in table.sequences:
        one = horizon_of(table, rows["copy_last"], name, 2)
        segmenter = horizon_of(table, rows["segmenter"], name, 2)
        assert one["kept"]["miou"] == pytest.approx(100 * one["miou"] / segmenter["miou"])
        assert rows["copy_last"].cells[2, "miou"].by_sequence[name] == one["miou"]
    assert table.best(1, "miou") <= {"structure", "copy_last", "optical_flow"}
    content = json.loads((tmp_path / "table.json").read_text())
    copied = next(row for row in content["rows"] if row["name"] == "copy_last")["horizons"][0]["miou"]
    assert copied["mean"] == pytest.approx(np.mean(list(copied["by_sequence"].values())))
    assert {m["sequence"]: m["structure"]["label_kind"] for m in content["measurements"]} == {"first": "labels", "second": "pseudo"}
    text = (tmp_path / "table.md").read_text()
    for part in ("| Method | mIoU t+1 | mIoU t+2 | moving t+1 |", "**second**", "segmenter ‡", "± is the standard deviation", "`structure`:", "own labels (made by a network)"):
        assert part in text
    assert "Protocol: 4 frames in (8 for the motion prior of `structure`), 2 out" in text
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 5 * 2 * 2
    assert "road=" in lines[0]["iou_by_class"] and float(lines[0]["miou_std_of_windows"]) >= 0
    assert {path.name for path in tmp_path.iterdir()} == {"results", "table.md", "table.csv", "table.json", "table.png", "table.svg"}


def test_what_is_known_is_measured_again_only_for_another_protocol(measured, model, drives, tmp_path):
    for settings, count in (
        (LabelSettings(str(model[1])), 1),
        (LabelSettings(str(model[1])), 0),
        (LabelSettings(str(model[1]), context="source"), 1),
        (LabelSettings(str(model[1]), period_s=0.2), 1),
    ):
        del measured[:]
        run(model[:1], tmp_path, drives[:1], labels=settings, steps=1, samples=0)
        assert len(measured) == count


def test_frames_and_label_maps_do_not_mix(measured, model, drives, tmp_path, monkeypatch):
    def entry(name, runs):
        found = find_model(str(model[0]))
        if name == "frames":
            network = find_model("hrp_tree_w25").card.network
            return Entry("frames", found.folder, found.card.model_copy(update={"network": network}))
        return Entry("structure", found.folder, found.card)

    monkeypatch.setattr(table_run, "find_entry", entry)
    table = run(["structure", "frames"], tmp_path, drives[:1], labels=LabelSettings(str(model[1])))
    assert table.failed["frames", "all sequences"] == "frames and structure: frames and label maps do not go into one table"
