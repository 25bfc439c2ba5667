"""The folder that a command writes into: refused before anything is done, and replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidpred_ros.commands.common import METRICS, PART, check_out, report_folder
from vidpred_ros.errors import ConfigError


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("place", ["file", "file/sub", "/proc/nowhere", "/proc/self/fd"])
def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path, place: str) -> None:
    write(tmp_path, "file")
    with pytest.raises(ConfigError, match=f"^--out {tmp_path / place}: .*name another"):
        check_out(tmp_path / place)
    with pytest.raises(ConfigError, match=f"^--out {tmp_path / place}"), report_folder(tmp_path / place):
        pass
    assert names(tmp_path) == {"file"}


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_out(tmp_path / "a" / "b")
    assert not names(tmp_path)


def test_a_report_takes_the_place_of_the_one_before_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path, METRICS, "labels.png", "my notes.txt")
    with report_folder(tmp_path) as folder:
        write(folder, METRICS, "forecast.mp4")
        assert names(tmp_path) == {METRICS, "labels.png", "my notes.txt", PART}
    assert names(tmp_path) == {METRICS, "forecast.mp4", "my notes.txt"}


def test_an_error_leaves_the_report_that_is_there(tmp_path: Path) -> None:
    write(tmp_path, METRICS, "forecast.mp4")
    with pytest.raises(KeyboardInterrupt), report_folder(tmp_path) as folder:
        write(folder, "scores.csv")
        raise KeyboardInterrupt
    assert names(tmp_path) == {METRICS, "forecast.mp4"}
    with pytest.raises(KeyboardInterrupt), report_folder(tmp_path / "new" / "one"):
        raise KeyboardInterrupt
    assert names(tmp_path) == {METRICS, "forecast.mp4"}


def test_what_is_no_report_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "log", "camera.log")
    with pytest.raises(ConfigError, match="name another folder"), report_folder(tmp_path):
        pass
    with report_folder(tmp_path, beside=("log",)) as folder:
        write(folder, METRICS)
    assert names(tmp_path) == {METRICS, "log"}


def test_what_a_run_that_was_killed_left_goes(tmp_path: Path) -> None:
    write(tmp_path / PART, "forecast.mp4")
    with report_folder(tmp_path) as folder:
        write(folder, METRICS)
    assert names(tmp_path) == {METRICS}
