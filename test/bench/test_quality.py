"""LPIPS of int8 against float32, from the models' files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from training.precision_scores import COMPARED
from vidpred_ros.bench import quality
from vidpred_ros.bench.quality import FP32, INT8, int8_ratios
from vidpred_ros.errors import ModelError


def scored(*entries: tuple[str, int, str, float]) -> Any:
    keys = ("source", "step", "precision", "lpips")
    return SimpleNamespace(int8=SimpleNamespace(scores=[dict(zip(keys, entry, strict=True)) for entry in entries]))


def test_percent_of_the_mean_over_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    a = [("a", 1, FP32, 0.1), ("a", 1, INT8, 0.103), ("a", 5, FP32, 0.2), ("a", 5, INT8, 0.9), ("a", 1, "bf16 (OpenVINO)", 0.5)]
    b = [("b", 1, FP32, 0.2), ("b", 1, INT8, 0.203)]
    monkeypatch.setattr(quality, "RELEASED", ("one",))
    monkeypatch.setattr(quality, "find_model", lambda name: scored(*a, *b))
    (ratio,), left_out = int8_ratios()
    assert left_out == {} and ratio.measured == pytest.approx(2.0) and ratio.unit == "% worse"
    assert "one (a, b)" in ratio.name


def test_the_precisions_are_those_that_are_scored() -> None:
    assert {FP32, INT8} <= {title for *_, title in COMPARED}


def test_what_has_no_scores_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Uncalibrated:
        @property
        def int8(self) -> None:
            raise ModelError("no int8.json")

    monkeypatch.setattr(quality, "RELEASED", ("empty", "uncalibrated"))
    monkeypatch.setattr(quality, "find_model", lambda name: Uncalibrated() if name == "uncalibrated" else scored())
    found, left_out = int8_ratios()
    assert found == [] and len(left_out) == 2
    reasons = " ".join(left_out.values())
    assert "no int8.json" in reasons and "precision_scores empty" in reasons
