"""Where `vidpred demo` leaves label maps out by itself."""

from __future__ import annotations

import os

import pytest

from vidpred_ros.commands.demo import why_no_structure


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def test_models_that_are_there_are_used() -> None:
    assert why_no_structure("copy_last", "segmenter_lite0") == ""


@pytest.mark.parametrize("models", [("no_such_model", "segmenter_lite0"), ("copy_last", "no_such_model")])
def test_a_missing_model_is_named(models: tuple[str, str]) -> None:
    assert "no_such_model" in why_no_structure(*models)


def test_one_core_is_for_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert "one CPU core" in why_no_structure("copy_last", "segmenter_lite0")
