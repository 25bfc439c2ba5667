"""Curves for the report, as SVG text that goes straight into the page and uses its fonts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"predictor": "#1d4ed8", "optical_flow": "#d97706", "copy_last": "#9ca3af", "segmenter": "#15803d"}
#: Of the one method that is neither, the best of N samples.
OTHER_COLOUR = "#0d9488"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.hashsalt": "vidpred",
}


def horizon_curve(table: Sequence[Mapping[str, Any]], metric: str, names: Mapping[str, str]) -> str | None:
    """One metric over the horizons, a line for each method of ``names``; None when the metric was not computed."""
    if all(horizon["methods"]["predictor"][metric] is None for horizon in table):
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes()
        seconds = [horizon["seconds"] for horizon in table]
        for method in names:
            values = [horizon["methods"][method][metric] for horizon in table]
            front = method == "predictor"
            axes.plot(
                seconds,
                values,
                color=COLOURS.get(method, OTHER_COLOUR),
                label=names[method],
                linewidth=2.4 if front else 1.6,
                linestyle="--" if method == "segmenter" else "-",  # the ceiling of label maps
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
                color=COLOURS.get(method, OTHER_COLOUR),
                label=names[method],
                linewidth=1.8 if method == "predictor" else 1.2,
            )
        axes.set_xlabel("seconds into the drive")
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=9, ncols=3)
        return _svg(figure)


def motion_curve(bins: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Next-frame LPIPS over the motion of the window, and below it how many windows have that motion (Shouno's figure 4)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 4.4), layout="constrained")
        figure.patch.set_alpha(0)
        top, bottom = figure.subplots(2, sharex=True, height_ratios=[3, 1])
        middles = [(one["from"] + one["to"]) / 2 for one in bins]
        for method in bins[0]["methods"]:
            values = [one["methods"][method]["lpips"] for one in bins]
            colour = COLOURS.get(method, OTHER_COLOUR)
            front = 3 if method == "predictor" else 2
            top.plot(middles, values, color=colour, label=names[method], marker="o", markersize=4, zorder=front)
        bottom.bar(middles, [one["windows"] for one in bins], 0.8 * (bins[0]["to"] - bins[0]["from"]), color="#cbd5e1")
        for axes in (top, bottom):
            tidy(axes)
        top.set_ylabel("LPIPS of the next frame")
        top.legend(frameon=False, fontsize=9)
        bottom.set_ylabel("windows")
        bottom.set_xlabel("motion: LPIPS between the last frame and the next")
        return _svg(figure)


def distribution_curve(spread: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """How many windows have which LPIPS at one step, an outline for each method (Shouno's figure 6, right)."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(width=6.6, height=4.4)
        for method, counts in spread["counts"].items():
            colour = COLOURS.get(method, OTHER_COLOUR)
            front = 3 if method == "predictor" else 2
            axes.stairs(counts, spread["edges"], color=colour, label=names[method], linewidth=1.8, zorder=front)
        axes.set_xlabel(f"LPIPS at step {spread['step']}")
        axes.set_ylabel("windows")
        axes.legend(frameon=False, fontsize=9)
        return _svg(figure)


def _axes(width: float = 4.2, height: float = 2.9) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """The look of every plot: no frame, a pale grid, nothing behind."""
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#9ca3af")
    axes.tick_params(length=0, colors="#4b5563")


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
