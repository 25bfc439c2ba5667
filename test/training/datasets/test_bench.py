from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from helpers.datasets import write_images
from typer import Typer
from typer.testing import CliRunner

from training.datasets import bench
from training.recipe import load_recipe

RECIPE = {
    "network": {"form": "tree", "width": 0.05, "max_steps": 1},
    "data": {"size": [32, 32], "workers": 0, "bank": 4},
    "loss": {"vgg": 0},
    "steps": 1,
    "batch": 2,
    "precision": "fp32",
}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    write_images(tmp_path / "drive", [f"{i}.png" for i in range(20)])
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"data": RECIPE["data"] | {"train": [str(tmp_path / "drive")]}}))
    return str(path)


def test_it_answers_and_leaves_the_cache_as_it_was(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    app = Typer()
    app.command()(bench.main)
    arguments = [recipe, "--windows", "8", "--step-seconds"]
    idle = CliRunner().invoke(app, [*arguments, "1000"])
    assert idle.exit_code == 0, idle.output
    assert "decoded 20 frames of 1 sequences" in idle.output
    assert "No step waits" in idle.output and "1000000 ms" in idle.output
    hungry = CliRunner().invoke(app, [*arguments, "0.0001"])
    assert re.search(r"Steps wait \d+% of the time: raise data.workers", hungry.output), hungry.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drive", "tiny.yaml"]
    assert os.environ["VIDPRED_CACHE"] == str(tmp_path / "cache")
    kept = CliRunner().invoke(app, [*arguments, "1000", "--keep"])
    assert kept.exit_code == 0 and [p.suffix for p in sorted((tmp_path / "cache" / "sequences").iterdir())][1:] == [".json", ".npy"]
    wrong = CliRunner().invoke(app, [*arguments, "1", "--set", "data.train=[/nowhere]"])
    assert wrong.exit_code == 2 and "/nowhere does not exist" in wrong.output


def test_the_time_of_a_step_is_measured(recipe: str) -> None:
    loaded = load_recipe(recipe)
    result, batch = bench.measure(loaded, 8)
    assert batch["frames"].shape == (2, 9, 3, 32, 32) and result.frames == 20 and result.warm > 0
    assert bench.seconds_of_a_step(loaded, batch) > 0


def test_the_table_says_how_long_a_step_waits(recipe: str) -> None:
    loaded = load_recipe(recipe)
    table, answer = bench.report(loaded, bench.Result(1, 20, 1, cold=1.0, warm=4.0), step=1.0)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows[0] == ("loader, cold", "1.0", "2000 ms", "1000 ms")
    assert rows[1] == ("loader, warm", "4.0", "500 ms", "0 ms")
    assert rows[2] == ("training step", "2.0", "1000 ms", "")
    assert "2.0 times as fast" in answer
    assert "wait 50% of the time" in bench.report(loaded, bench.Result(1, 20, 1, 1.0, 4.0), step=0.25)[1]
