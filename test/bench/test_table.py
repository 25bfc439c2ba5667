"""The table of goals on a small network: what is measured, what is left out and why, and what is said of it."""

from __future__ import annotations

import json

import pytest
from helpers.models import SIZE

from vidpred_ros.bench import goals, table
from vidpred_ros.bench.docs import MARKS, describe, write_docs
from vidpred_ros.bench.goals import FLOW, PRODUCTS, Case, Ratio, Share, Speedup
from vidpred_ros.bench.growth import AXES
from vidpred_ros.bench.table import measure_table, roofline


@pytest.fixture(scope="module")
def measured(tiny_model):
    pytest.importorskip("openvino")
    tiny = str(tiny_model)
    torch, openvino = Case(tiny, "stream", "torch", "fp32"), Case(tiny, "stream", "openvino", "fp32")
    lost = Case("nothing_like_it", "whole", "torch", "fp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "SIZE", SIZE)
        patch.setattr(table, "PRODUCTS", [one._replace(size=32) for one in PRODUCTS])
        patch.setattr(goals, "PRODUCTS", [one._replace(size=32) for one in PRODUCTS])
        patch.setattr(goals, "SPEEDUPS", [Speedup("speedup", torch, openvino, 1e-9, FLOW), Speedup("lost", lost, torch, 1)])
        patch.setattr(goals, "SHARES", [Share("share", openvino, 1e9)])
        yield measure_table(3, wanted=[torch, openvino, lost])


def test_entries_follow_from_the_raw_times(measured):
    raw = {one["case"]: one for one in measured["raw"]}
    (stream,) = [case for case in raw if "openvino" in case]
    (torch,) = [case for case in raw if "torch" in case]
    assert all(len(one["ms"]) == 3 for one in raw.values())
    speedup, share = measured["ratios"]
    assert speedup["measured"] == pytest.approx(raw[torch]["median"] / (raw[stream]["median"] + raw[FLOW]["median"]))
    assert Ratio(**speedup).met and not Ratio(**share).met
    (row,) = measured["roofline"]
    assert row["ms"] == raw[stream]["median"] and share["measured"] == pytest.approx(row["share_of_peak"])
    assert row["useful_gflop"] / row["ms"] * 1e3 == pytest.approx(row["gflop_s"])
    assert "nothing_like_it" in measured["left_out"]["nothing_like_it whole, torch fp32"]
    json.dumps(measured, allow_nan=False)


def test_the_roof_is_the_memory_where_little_is_computed():
    machine = {"fp32_gflops": 100.0, "copy_gb_s": 10.0}
    case = Case("n", "whole", "openvino", "fp32")
    bound = roofline(case, table.Work(10**9, 10**9, 10**8), 100.0, machine)  # 2.5 operations a byte
    assert bound["share_of_peak"] == pytest.approx(0.1)
    assert bound["share_of_roof"] == pytest.approx(10 / 25)


def results(measured):
    axis = {"values": [1, 2], "median_ms": [2.0, 3.0], "exponent": 0.58}
    growth = {"model": "tiny", "engine": "openvino bf16", "rounds": 3} | {name: axis for name in AXES}
    node = {
        "model": "tiny",
        "engine": "openvino bf16",
        "steps": 1,
        "camera": {"size": [720, 1280], "rate_hz": 30.0},
        "windows": {"expected": 9, "predicted": 8, "skipped_busy": 1, "lost": 0},
        "stages": {"receive": {"median": 1.25, "p99": 2.5}},
    }
    host = {"cpu": "A processor", "cores": 2, "bf16": ["avx512_bf16"], "memory_gb": 23.4, "system": "Linux"}
    about = {"command": "vidpred bench --json x", "date": "2026-11-21", "host": host, "versions": {"numpy": "2"}}
    return about | measured | {"growth": growth, "node": node}


def test_the_page_says_all_of_it(measured):
    text = describe(results(measured))
    for said in ("A processor", "numpy 2", "met", "missed by", "nothing_like_it", "0.58", "1.25", "8 predicted", "GFLOP/s"):
        assert said in text


def test_only_what_stands_between_the_marks_is_written_anew(measured, tmp_path):
    page = tmp_path / "performance.md"
    written = write_docs(results(measured), tmp_path)
    assert written[0] == page and {path.stem for path in written[1:]} == set(AXES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])
    text = page.read_text()
    for path in written[1:]:
        assert path.relative_to(tmp_path).as_posix() in text, "the page shows its plots"
    page.write_text(text.replace(MARKS[0], f"Before.\n\n{MARKS[0]}\nold").replace(MARKS[1], f"{MARKS[1]}\n\nAfter."))
    write_docs(results(measured), tmp_path)
    again = page.read_text()
    assert "Before." in again and again.endswith("After.\n") and "\nold" not in again
