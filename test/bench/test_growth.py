"""Growth of cost: exponents of known laws, and a small network along every axis."""

from __future__ import annotations

import pytest

from vidpred_ros.bench import growth
from vidpred_ros.bench.growth import AXES, Point, exponent, measure_growth, summary
from vidpred_ros.engines import open_engine
from vidpred_ros.models import find_model


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law(power: float) -> None:
    values = [1, 2, 3, 6]
    assert exponent(values, [7 * value**power for value in values]) == pytest.approx(power)


def test_axes_begin_where_the_others_stand() -> None:
    for name, axis in AXES.items():
        assert Point() in [point for _, point in axis], name
        assert [value for value, _ in axis] == sorted(value for value, _ in axis)


def test_every_axis_is_measured(tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "open_engine", lambda model, name, *a, **k: open_engine(model, "torch", *a, **k))
    small = ((32, 32), (32, 48))
    base = Point(small[0])
    monkeypatch.setattr(growth, "SIZES", small)
    axes = {
        "pixels": [(1024, base), (1536, Point(small[1]))],
        "cameras": [(1, base), (2, Point(small[0], cameras=2))],
        "steps": [(1, base), (2, Point(small[0], steps=2))],
    }
    monkeypatch.setattr(growth, "AXES", axes)
    told = []
    found = measure_growth(find_model(str(tiny_model)), 2, lambda *news: told.append(news))
    for name in axes:
        assert len(found[name]["median_ms"]) == 2 and min(found[name]["median_ms"]) > 0
        assert found[name]["exponent"] == pytest.approx(exponent(found[name]["values"], found[name]["median_ms"]))
    assert "cameras" in summary(found) and told[-1][1] == told[-1][2]
