"""The commands as a user runs them: what they write, what they say, and their exit codes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import pytest
from helpers.jobs import write_drive

from vidpred_ros import cli

ROOT = Path(__file__).parents[1]
COMMANDS = ("demo", "evaluate", "table", "predict", "label", "bench", "doctor", "export", "build", "models")
SOURCE = "synthetic:seed=5,seconds=1.5"  # 15 frames


def run(*words):
    """The command as a process of its own, which imports all of it anew."""
    command = [sys.executable, "-m", "vidpred_ros.cli", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout's
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.fixture
def vidpred(monkeypatch, capsys):
    """The command, in this process."""

    def answer(*words):
        monkeypatch.setattr(sys, "argv", ["vidpred", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return subprocess.CompletedProcess(sys.argv, end.value.code or 0, *capsys.readouterr())

    return answer


def test_help_names_every_command():
    answer = run("--help")
    assert answer.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in answer.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(vidpred, command):
    answer = vidpred(command, "--help")
    assert answer.returncode == 0
    assert f"vidpred {command}" in answer.stdout


def test_evaluate_writes_its_files(vidpred, tmp_path):
    answer = vidpred("evaluate", SOURCE, "--model", "optical_flow", "--steps", 2, "--out", tmp_path)
    assert answer.returncode == 0, answer.stderr
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert results["protocol"]["command"].startswith(f"vidpred evaluate {SOURCE}")
    assert results["protocol"]["windows"] == 15 - 8 - 2 + 1
    for name in ("report.html", "filmstrip.png", "forecast.mp4", "scores.csv"):
        assert (tmp_path / name).stat().st_size > 0
    assert str(tmp_path / "report.html") in answer.stdout
    assert "+0.2 s" in answer.stdout


def test_predict_writes_pictures_that_its_index_names(vidpred, tmp_path):
    out = tmp_path / "p"
    answer = vidpred("predict", SOURCE, "--model", "copy_last", "--steps", 2, "--out", out)
    assert answer.returncode == 0, answer.stderr
    rows = list(csv.DictReader((out / "index.csv").open()))
    assert len(rows) == 2 * (15 - 7)
    for row in rows:
        assert cv2.imread(str(out / row["file"])).shape == (128, 160, 3)
        assert int(row["stamp_ns"]) - int(row["source_stamp_ns"]) == int(row["step"]) * 100_000_000
    with av.open(str(out / "forecast.mp4")) as container:
        assert len(list(container.decode(video=0))) == 15 - 7

    again = vidpred("predict", SOURCE, "--model", "copy_last", "--out", out)
    assert again.returncode == 2
    assert "not an empty folder" in again.stderr


def test_table_names_what_failed_and_writes_the_rest(vidpred, tmp_path):
    folder = write_drive(tmp_path / "sequences" / "drive").parent
    answer = vidpred("table", "no_such_model", "--data", folder, "--steps", 2, "--out", tmp_path / "table")
    assert answer.returncode == 1, answer.stderr
    assert "no_such_model on all sequences" in answer.stdout
    assert "t+2" in answer.stdout
    text = (tmp_path / "table" / "table.md").read_text()
    assert "| optical_flow |" in text and "| copy_last |" in text
    assert f"`vidpred table no_such_model --data {folder} --steps 2" in text
    for name in ("table.csv", "table.json", "table.png", "table.svg"):
        assert (tmp_path / "table" / name).stat().st_size > 0

    again = vidpred("table", "copy_last", "--data", folder, "--steps", 2, "--out", tmp_path / "table")
    assert again.returncode == 0, again.stderr
    assert "2 of 2 known" in again.stdout


@pytest.mark.parametrize(
    "words,complaint",
    [
        (("evaluate", "nowhere.mp4", "-m", "copy_last"), "nowhere.mp4 does not exist"),
        (("evaluate", "synthetic:seed=1,seconds=0.5", "-m", "copy_last"), "no run of 13 frames"),
        (("predict", "synthetic:seed=1,seconds=0.5", "-m", "copy_last"), "no run of 8 frames"),
        (("evaluate", SOURCE, "-m", "no_such_model"), "no_such_model"),
        (("predict", SOURCE, "-m", "copy_last", "--topic", "/camera"), "not a bag"),
        (("evaluate", SOURCE, "-m", "copy_last", "--samples", 20), "copy_last is not stochastic"),
        (("table", "copy_last", "--data", "nowhere.mp4"), "nowhere.mp4 does not exist"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(vidpred, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    answer = vidpred(*words)
    assert answer.returncode == 2
    assert answer.stderr.startswith("vidpred: ")
    assert complaint in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_exit_code_2(vidpred):
    assert vidpred("evaluate", SOURCE, "--stepps", 3).returncode == 2
    assert vidpred("evaluate", SOURCE, "--steps", 0).returncode == 2


def test_demo_runs_a_real_graph_and_reports_on_it(tmp_path):
    pytest.importorskip("rclpy")
    answer = run("demo", "--model", "optical_flow", "--no-structure", "--seconds", 3, "--steps", 2, "--out", tmp_path)
    assert answer.returncode == 0, answer.stderr
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert results["protocol"]["mode"].startswith("Live")
    assert results["transport"]["camera_frames_sent"] == results["frames"] == 30
    assert results["latency_ms"]["median"] > 0
    assert results["horizons"][1]["methods"]["predictor"]["ssim"] > 0.2
    assert "camera frames lost" in answer.stdout
    for name in ("report.html", "filmstrip.png", "forecast.mp4"):
        assert (tmp_path / name).stat().st_size > 0


def test_demo_without_ros_says_what_to_do(tmp_path):
    script = (
        "import importlib.util as u, sys; find = u.find_spec; "
        "u.find_spec = lambda name, *rest: None if name == 'rclpy' else find(name, *rest); "
        f"from vidpred_ros import cli; sys.argv = ['vidpred', 'demo', '-m', 'copy_last', '-o', {str(tmp_path)!r}]; cli.main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert answer.returncode == 2
    assert "needs ROS 2" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["evaluate", "predict", "label", "table", "bench", "demo"])
def test_a_bad_out_is_one_line_before_anything_runs(vidpred, tmp_path, command):
    (tmp_path / "file").write_text("")
    words = {"table": ["copy_last", "--data", SOURCE], "bench": [], "demo": ["--no-structure"]}.get(command, [SOURCE])
    out = tmp_path / "file" / "sub"
    answer = vidpred(command, *words, "--out", out)
    assert answer.returncode == 2 and answer.stdout == ""
    assert answer.stderr == f"vidpred: --out {out}: nothing can be written there (Not a directory); name another folder\n"


def test_an_error_of_the_system_is_one_line(vidpred, monkeypatch):
    def full():
        raise OSError(28, "No space left on device", "out/x.png")

    monkeypatch.setattr(cli, "app", full)
    answer = vidpred()
    assert (answer.returncode, answer.stderr) == (2, "vidpred: out/x.png: No space left on device\n")


def test_a_wrong_value_is_quoted(vidpred):
    answer = vidpred("evaluate", SOURCE, "--steps", "abc")
    assert answer.returncode == 2 and "'abc'" in answer.stderr


def test_a_terminal_of_any_width_fills_its_lines():
    """A docstring's own line ends are not kept: every line but a paragraph's last goes on to the edge."""
    for command in cli.app.registered_commands:
        for paragraph in command.help.split("\n\n"):
            assert "\n" not in paragraph


def test_an_example_is_one_line_of_80_columns():
    """Two of them are the margins, two the indentation."""
    for command in cli.app.registered_commands:
        examples = [line for paragraph in command.help.split("\n\n") if (line := paragraph.strip()).startswith("vidpred ")]
        assert examples and not [line for line in examples if len(line) > 76]
