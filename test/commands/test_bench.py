"""``vidpred bench``: what it refuses, what it writes, what it prints. That it measures is tested in test/bench."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vidpred_ros import cli
from vidpred_ros.bench import labels, node, table
from vidpred_ros.bench.growth import AXES
from vidpred_ros.commands.bench_tables import print_goals
from vidpred_ros.errors import ConfigError, ModelError, VidpredError

STAGES = {"receive": {"median": 1.0, "p99": 2.0}, "total less inference": {"median": 3.25, "p99": 4.0}}
NODE = {
    "model": "tiny",
    "engine": "openvino bf16",
    "steps": 1,
    "camera": {"size": [720, 1280], "rate_hz": 30.0, "sent": 60},
    "received": 60,
    "windows": {"expected": 9, "predicted": 8, "skipped_busy": 1, "lost": 0},
    "stages": STAGES,
    "latency_ms": {},
    "resident_mb": {"peak": 99.0},
    "cpu_percent": 12.0,
}


def run(*words: object) -> Any:
    return CliRunner().invoke(cli.app, ["bench", *map(str, words)])


@pytest.mark.parametrize("words", [("--trace", "--json", "x"), ("--structure", "--trace"), ("--docs", "x"), ("--trace", "--seconds", "0"), ("--cameras", "3", "--trace")])
def test_what_does_not_go_together(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert isinstance(result.exception, ConfigError)


def test_the_goals_are_written_and_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"name": "this over that", "measured": 2.0, "goal": 2.5, "better": "higher", "unit": "times as fast"}
    axis = {"values": [1, 2], "median_ms": [2.0, 3.0], "exponent": 0.58}
    found = {
        "rounds": 15,
        "ratios": [entry, entry | {"name": "the other", "measured": 3.0}],
        "raw": [{"case": "that", "median": 1.5, "p99": 2.0, "ms": [1.5]}],
        "left_out": {"a goal of a GPU": "there is none"},
        "machine": {"copy_gb_s": 30.0, "fp32_gflops": 300.0, "bf16_gflops": 700.0, "int8_gflops": 1500.0},
        "roofline": [],
        "growth": {"model": "tiny", "engine": "openvino bf16", "rounds": 15} | {name: axis for name in AXES},
        "node": NODE,
    }
    monkeypatch.setattr(table, "measure_all", lambda *arguments: found)
    file = tmp_path / "new" / "goals.json"
    result = run("--json", file, "--docs", tmp_path / "docs")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    for said in ("this over that", "missed by 20%", "met", "1 of 2 met", "a goal of a GPU is left out: there is none", "pixels 0.58"):
        assert said in text
    written = json.loads(file.read_text())
    assert written["ratios"] == found["ratios"] and written["raw"] == found["raw"]
    assert written["host"]["cores"] >= 1 and "numpy" in written["versions"]
    assert "this over that" in (tmp_path / "docs" / "performance.md").read_text()


def test_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "measure_node", lambda *arguments: (NODE, {"traceEvents": [1]}))
    result = run("--trace", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "trace.json").read_text()) == {"traceEvents": [1]}
    assert "total less inference" in result.output and "3.25" in result.output


def test_several_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = NODE | {"rate_out_hz": 8.25, "latency_ms": {"total": {"median": 61.5, "p99": 99.75}}}
    found = {"cameras": {"camera_1": one, "camera_2": one | {"rate_out_hz": None}}, "resident_mb": {}, "cpu_percent": 150.0, "steps": 5}
    asked = []
    monkeypatch.setattr(node, "measure_cameras", lambda *arguments: asked.append(arguments) or found)
    result = run("--cameras", 2, "--steps", 5, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert asked[0][2:5] == (5, 20, 2)
    for said in ("2 raw 1280x720 cameras", "camera_2", "8.2", "61.5", "n/a", "150 % of one core"):
        assert said in result.output
    assert json.loads((tmp_path / "bench_cameras.json").read_text())["cameras"] == found


def test_a_trace_without_ros_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise VidpredError("this needs ROS 2")

    monkeypatch.setattr(node, "measure_node", fail)
    result = run("--trace", "--out", tmp_path)
    assert isinstance(result.exception, VidpredError) and not list(tmp_path.iterdir())


def test_a_baseline_is_refused_by_name(tmp_path: Path) -> None:
    result = run("--model", "copy_last", "--out", tmp_path)
    assert isinstance(result.exception, ModelError) and "copy_last is a baseline" in str(result.exception)


def test_label_futures_have_a_file_of_their_own_and_80_columns_hold_their_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"median": 1234.56, "p99": 2345.67}
    stages = {f"{stage}_ms": times for stage in ("predict", "motion", "encode", "forecast")}
    case = {"runtime": "onnxruntime fp32", "mode": "streamed", "forecasts_per_s": 12.34, "times_as_fast_as_torch_whole": 98.7, **stages}
    found = {"model": "tiny", "samples": 1, "steps": 1, "rounds": 5, "size": [32, 64], "cases": [case], "segmenters": [], "left_out": {}}
    monkeypatch.setattr(labels, "measure_structure", lambda *arguments: found)
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--structure", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert [file.name for file in tmp_path.iterdir()] == ["bench_structure.json"]
    for cell in ("onnxruntime fp32", "streamed", "1234.6", "2345.7", "12.34", "98.7"):
        assert cell in result.output
    assert "…" not in result.output


def test_goals_are_printed_where_growth_could_not_be_measured() -> None:
    about = {"host": {"cpu": "A processor", "cores": 2}, "rounds": 10, "ratios": []}
    console = Console(file=io.StringIO(), width=200)
    print_goals(console, about | {"left_out": {"growth of cost": "MemoryError: no room"}})
    said = console.file.getvalue()
    assert "0 of 0 met\n" in said and "growth of cost is left out: MemoryError: no room" in said
