"""Curves for the report, as SVG text that goes straight into the page and uses its fonts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vidpred_ros.evaluation.scores import METHODS

COLOURS = {"predictor": "#1d4ed8", "optical_flow": "#d97706", "copy_last": "#9ca3af"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.hashsalt": "vidpred",
}


def horizon_curve(table: Sequence[Mapping[str, Any]], metric: str, names: Mapping[str, str]) -> str | None:
    """One metric over the horizons, a line for each method; None when the metric was not computed."""
    if table[0]["methods"]["predictor"][metric] is None:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes()
        seconds = [horizon["seconds"] for horizon in table]
        for method in METHODS:
            values = [horizon["methods"][method][metric] for horizon in table]
            front = method == "predictor"
            axes.plot(
                seconds,
                values,
                color=COLOURS[method],
                label=names[method],
                linewidth=2.4 if front else 1.6,
                marker="o",
                markersize=5 if front else 4,
                zorder=3 if front else 2,
            )
        axes.set_xlabel("seconds ahead")
        axes.set_xticks(seconds, [f"{second:.2g}" for second in seconds])
        axes.legend(frameon=False, fontsize=9)
        return _svg(figure)


def score_over_time(
    stamps_s: Sequence[float], values: Mapping[str, Sequence[float]], label: str, names: Mapping[str, str]
) -> str:
    """One metric along the drive, a line for each method. ``stamps_s`` are seconds since the first window."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(width=13.5, height=2.8)
        for method, line in values.items():
            axes.plot(
                stamps_s,
                line,
                color=COLOURS[method],
                label=names[method],
                linewidth=1.8 if method == "predictor" else 1.2,
            )
        axes.set_xlabel("seconds into the drive")
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=9, ncols=3)
        return _svg(figure)


def _axes(width: float = 4.2, height: float = 2.9) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#9ca3af")
    axes.tick_params(length=0, colors="#4b5563")
    return figure, axes


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
