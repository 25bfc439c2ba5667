"""The table from results that are known: means, spread, ranks, and what is written of them."""

import csv
import json
import re
from xml.etree import ElementTree

import cv2
import pytest

from vidpred_ros.evaluation.scores import Score, horizons
from vidpred_ros.evaluation.table import make_table, table_content
from vidpred_ros.evaluation.table_files import write_table
from vidpred_ros.metrics import DEFINITIONS

#: LPIPS at t+1 of each window; at t+k it is k times that, SSIM is 1 - LPIPS, PSNR 30 - 10 LPIPS.
CITY, ROAD = "city", "road"
LPIPS = {
    ("copy_last", CITY): [0.20, 0.20, 0.20],
    ("copy_last", ROAD): [0.10],
    ("optical_flow", CITY): [0.12, 0.12, 0.12],
    ("optical_flow", ROAD): [0.06],
    ("good", CITY): [0.08, 0.10, 0.12],
    ("good", ROAD): [0.07],
}


def scores(lpips, method="predictor", steps=5):
    return [
        Score(window, window, k, method, 1 - k * value, 30 - 10 * k * value, k * value, 15.0, 0.9, 25.0, 20.0)
        for window, value in enumerate(lpips)
        for k in range(1, steps + 1)
    ]


def result(sequence, found):
    windows = len({score.window for score in found})
    names = list(vars(found[0]))
    return {
        "key": "k",
        "source": f"/data/{sequence}",
        "engine": "openvino bf16",
        "weights_sha256": "w" * 64,
        "protocol": {
            "window": 8,
            "steps": max(score.step for score in found),
            "size": [128, 160],
            "crop": "largest centred rectangle",
            "period_s": 0.12,
            "model_period_s": 0.1,
            "source_rate_hz": 25.0,
            "phases": 3,
            "windows": windows,
            "moving_share": [0.9] * 5,
            "scored": "every window",
            "samples": 20 if "best_of_20" in {score.method for score in found} else None,
            "seed": 3 if "best_of_20" in {score.method for score in found} else None,
        },
        "data_sha256": sequence[0] * 64,
        "frames": 100,
        "horizons": horizons(found, 0.12, {}),
        "host": {"cpu": "a processor", "cores": 1, "system": "Linux", "versions": {"python": "3.11", "numpy": "2.0"}},
        "scores": {"columns": names, "rows": [[getattr(score, name) for name in names] for score in found]},
    }


def known(lpips=LPIPS, steps=5):
    return {key: result(key[1], scores(values, steps=steps)) for key, values in lpips.items()}


def table_of(results, failed=(), left_out=(), steps=5, models=("copy_last", "optical_flow", "good")):
    return make_table(models, [CITY, ROAD], results, dict(failed), dict(left_out), steps, "vidpred table good")


def test_every_sequence_weighs_the_same():
    rows = {row.name: row for row in table_of(known()).rows}
    spread = rows["good"].cells[1, "lpips"].spread()
    assert spread["by_sequence"] == pytest.approx({CITY: 0.10, ROAD: 0.07})
    assert (spread["mean"], spread["min"], spread["max"]) == pytest.approx((0.085, 0.07, 0.10))
    assert spread["std"] == pytest.approx(0.03 / 2**0.5)
    assert spread["sequences"] == 2
    assert rows["good"].cells[5, "ssim"].mean == pytest.approx(1 - 5 * 0.085)


def test_rows_are_in_order_and_the_best_is_known():
    table = table_of(known())
    assert [row.name for row in table.rows] == ["good", "optical_flow", "copy_last"]
    assert table.best(1, "lpips") == {"good"}
    assert table.best(5, "ssim") == {"good"}
    assert table.best(1, "sharpness") == {"good", "optical_flow", "copy_last"}  # all the same


def test_ranks_on_each_sequence():
    table = table_of(known())
    assert table.ranks(1, "lpips") == {"good": [1, 2], "optical_flow": [2, 1], "copy_last": [3, 3]}
    assert table.ranks(1, "psnr") == table.ranks(1, "lpips")
    assert table.ranks(1, "sharpness") == {"good": [1, 1], "optical_flow": [1, 1], "copy_last": [1, 1]}


@pytest.mark.parametrize("steps,shown", [(1, [1]), (2, [1, 2]), (4, [1, 3, 4]), (5, [1, 3, 5]), (10, [1, 3, 5, 10])])
def test_columns(steps, shown):
    assert table_of(known(steps=steps), steps=steps).steps == shown


def test_a_model_that_failed_somewhere_is_shown_and_not_compared(tmp_path):
    results = known()
    del results["good", ROAD]
    table = table_of(results, {("good", ROAD): "out of memory"})
    assert table.best(1, "lpips") == {"optical_flow"}
    assert "good" not in table.ranks(1, "lpips")
    write_table(table, {}, tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "| good † |" in text
    assert "good on road: out of memory" in text
    assert "good" not in json.loads((tmp_path / "table.json").read_text())["motion_bins"]["bins"][0]["methods"]


def test_a_sequence_without_a_window_is_left_out_for_all():
    results = known()
    results |= {(model, ROAD): {"key": "k", "left_out": "too short"} for model, _ in LPIPS}
    table = table_of(results)
    assert table.sequences == [CITY]
    assert table.left_out == {ROAD: "too short"}
    assert all(row.complete for row in table.rows)
    assert table.rows[0].cells[1, "lpips"].spread()["std"] is None


def with_samples():
    results = known()
    for sequence in (CITY, ROAD):
        drawn = [0.01] * len(LPIPS["good", sequence])
        results["svg", sequence] = result(sequence, scores([0.3] * len(drawn)) + scores(drawn, "best_of_20"))
    return table_of(results, models=("copy_last", "optical_flow", "good", "svg"))


def test_the_best_of_n_has_a_row_but_wins_nothing():
    table = with_samples()
    assert table.rows[0].name == "svg, best of 20"
    assert table.best(1, "lpips") == {"good"}
    assert set(table.ranks(1, "lpips")) == {"copy_last", "optical_flow", "good", "svg"}


def test_windows_of_all_sequences_are_pooled_by_motion():
    bins = table_content(table_of(known()))["motion_bins"]["bins"]
    assert [(one["from"], one["windows"]) for one in bins] == [(0.1, 1), (0.2, 3)]
    assert bins[1]["methods"]["good"]["lpips"] == pytest.approx(0.10)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "new"
    table = with_samples()
    write_table(table, {}, out)
    return out


def grids(text):
    """The tables of a markdown text, as lists of rows of cells."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()] for block in blocks]


def test_markdown(written):
    text = (written / "table.md").read_text()
    main, following, ranking, *_ = grids(text)
    for grid in grids(text):
        assert len({len(row) for row in grid}) == 1
    assert main[0][:4] == ["Method", "SSIM t+1", "SSIM t+3", "SSIM t+5"]
    assert main[0][-3:] == ["Sharp. t+1", "Sharp. t+3", "Sharp. t+5"]
    rows = {row[0]: row for row in main[2:]}
    assert rows["good"][1] == "**0.915**"
    assert rows["svg, best of 20 ‡"][1] == "0.990"
    assert {row[0]: row[2] for row in following[2:]}["good"] == "**8.50 ± 2.12**"
    assert {row[0]: row[3] for row in ranking[2:]}["optical_flow"] == "0.090 ± 0.042 (1–2)"
    assert "best of 20 samples (seed 3)" in text
    assert "cccccccccccccccc" in text and "rrrrrrrrrrrrrrrr" in text
    assert "a processor" in text
    assert "`vidpred table good`" in text


def test_csv_has_protocol_seed_data_and_host_beside_every_number(written):
    lines = list(csv.DictReader((written / "table.csv").open()))
    assert len(lines) == 5 * 2 * 5  # rows, sequences, steps
    one = next(line for line in lines if (line["row"], line["sequence"], line["step"]) == ("good", ROAD, "3"))
    assert float(one["lpips"]) == pytest.approx(0.21)
    assert (one["windows"], one["size"], one["seconds"], one["phases"]) == ("1", "160x128", "0.36", "3")
    assert (one["data_sha256"], one["weights_sha256"], one["cpu"]) == ("r" * 64, "w" * 64, "a processor")
    assert (one["samples"], one["seed"], one["versions"]) == ("", "", "numpy=2.0")
    drawn = next(line for line in lines if line["row"] == "svg, best of 20")
    assert (drawn["samples"], drawn["seed"]) == ("20", "3")


def test_json_has_everything(written):
    content = json.loads((written / "table.json").read_text())
    row = next(row for row in content["rows"] if row["name"] == "good")
    assert set(DEFINITIONS) < set(row["horizons"][0])
    assert len(content["measurements"]) == 8
    assert all(one["host"] and one["protocol"] and one["data_sha256"] for one in content["measurements"])
    assert content["distribution"]["step"] == 5


def test_plots(written):
    picture = cv2.imread(str(written / "table.png"))
    assert picture.shape[1] > 1500
    assert len({tuple(colour) for colour in picture.reshape(-1, 3)[::7].tolist()}) > 50  # lines, dots and letters
    assert ElementTree.parse(written / "table.svg").getroot().tag.endswith("svg")
    words = (written / "table.svg").read_text()
    assert "svg, best of 20" in words
    assert "Number of windows by LPIPS at t+5" in words  # at t+9 where there are ten
