"""What `vidpred demo` refuses before it starts a node, where it leaves label maps out by itself, and what it says at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from vidpred_ros.commands.demo import (
    check_lane,
    check_model,
    print_pictures,
    print_slowness,
    why_no_structure,
)
from vidpred_ros.errors import ConfigError, ModelError


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def test_models_that_are_there_are_used() -> None:
    assert why_no_structure("copy_last", "segmenter_lite0", 5) == ""


@pytest.mark.parametrize("models", [("no_such_model", "segmenter_lite0"), ("copy_last", "no_such_model")])
def test_a_missing_model_is_named(models: tuple[str, str]) -> None:
    assert "no_such_model" in why_no_structure(*models, 5)


def test_one_core_is_for_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert "one CPU core" in why_no_structure("copy_last", "segmenter_lite0", 5)


def test_steps_that_the_label_maps_have_not_leave_them_out() -> None:
    assert "hvp_structure_slim predicts 1 to" in why_no_structure("hvp_structure_slim", "segmenter_lite0", 20)
    with pytest.raises(ConfigError, match="hvp_structure_slim predicts 1 to"):
        check_lane("hvp_structure_slim", "segmenter_lite0", 20)


def test_what_the_node_would_refuse_is_refused_before_it_starts() -> None:
    check_model("copy_last", 20)
    check_model("hrp_tree_w25", 5)
    with pytest.raises(ConfigError, match="--steps 21: .*20 at most"):
        check_model("copy_last", 21)
    with pytest.raises(ConfigError, match="hrp_tree_w25 predicts 1 to"):
        check_model("hrp_tree_w25", 20)
    with pytest.raises(ModelError, match="no_such_model"):
        check_model("no_such_model", 5)
    with pytest.raises(ModelError, match="predicts label maps"):
        check_model("hvp_structure_slim", 5)


def test_a_machine_that_is_too_slow_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_slowness(Console(), {"transport": {"windows_skipped": 0, "forecasts_announced": 193}}, True)
    assert capsys.readouterr().out == ""
    print_slowness(Console(width=120), {"transport": {"windows_skipped": 40, "forecasts_announced": 153}}, True)
    assert capsys.readouterr().out == "slower than the camera: 40 of 193 windows skipped; --no-structure helps\n"


def test_the_last_line_is_what_to_open_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_pictures(Console(), Path("out"), False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("out/report.html") and lines[-1].endswith("open this first")
    assert not any("labels" in line for line in lines)
