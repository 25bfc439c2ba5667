"""LPIPS of int8 against float32."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vidpred_ros.bench import quality
from vidpred_ros.bench.goals import RELEASED
from vidpred_ros.bench.quality import SEQUENCES, int8_ratios
from vidpred_ros.errors import ModelError


def silent(what: str, done: float, total: float) -> None:
    pass


def test_without_recorded_drives_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDPRED_DATA", raising=False)
    found, left_out = int8_ratios(silent)
    assert found == [] and len(left_out) == len(RELEASED)
    assert all("VIDPRED_DATA" in reason for reason in left_out.values())


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Comparisons that would be made: (request, engine and precision of both, source)."""
    monkeypatch.setenv("VIDPRED_DATA", "/drives")
    asked: list[tuple[Any, ...]] = []

    def subject(request: Any, choice: Any) -> Any:
        return SimpleNamespace(request=request, engine=f"{choice.name} {choice.precision}", close=lambda: None)

    def compare(reference: Any, candidate: Any, source: str, precision: str) -> Any:
        asked.append((reference.request.model.id, reference.engine, candidate.engine, source))
        worse = 0.103 if source.endswith(SEQUENCES[0]) else 0.1
        return SimpleNamespace(lpips=(0.1, worse))

    monkeypatch.setattr(quality, "make_subject", subject)
    monkeypatch.setattr(quality, "open_source", lambda path: path)
    monkeypatch.setattr(quality, "compare", compare)
    return asked


def test_percent_of_the_mean_over_sequences(compared: list[tuple[Any, ...]]) -> None:
    found, left_out = int8_ratios(silent)
    assert left_out == {}
    assert [ratio.measured for ratio in found] == pytest.approx([1.0] * len(RELEASED))  # 3 % worse in one of three
    assert all(ratio.met and ratio.unit == "% worse" for ratio in found)
    assert {(engine, other) for _, engine, other, _ in compared} == {("openvino fp32", "openvino int8")}
    assert [source for *_, source in compared[: len(SEQUENCES)]] == [f"/drives/{name}" for name in SEQUENCES]


def test_a_model_without_ranges_is_left_out(compared: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: Any, choice: Any) -> None:
        raise ModelError("no int8.json")

    monkeypatch.setattr(quality, "make_subject", refuse)
    found, left_out = int8_ratios(silent)
    assert found == [] and set(left_out.values()) == {"no int8.json"}
