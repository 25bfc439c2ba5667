"""Curves for the report, as SVG text that goes straight into the page and uses its fonts.

The page shows them at their own size, so that all have the same size of letters.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Baselines are grey, here and in the plots of a table.
COLOURS = {"predictor": "#1d4ed8", "optical_flow": "#52525b", "copy_last": "#9ca3af", "segmenter": "#15803d", "last_frame": "#b45309"}
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
                linestyle="--" if method == "segmenter" else "-",
                marker="o",
                markersize=5 if front else 4,
                zorder=3 if front else 2,
            )
        axes.set_xlabel("seconds ahead")
        axes.margins(x=0.06, y=0.08)
        axes.set_xticks(seconds, [f"{second:.2g}" for second in seconds])
        _legend(figure, axes)
        return _svg(figure)


def score_over_time(
    stamps_s: Sequence[float], values: Mapping[str, Sequence[float]], label: str, names: Mapping[str, str]
) -> str:
    """One metric along the drive, a line for each method. ``stamps_s`` are seconds since the first window."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(width=8.8, height=2.6)
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
        _legend(figure, axes)
        return _svg(figure)


def motion_curve(bins: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Next-frame LPIPS over the motion of the window, and below it how many windows have that motion (Shouno's figure 4)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
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
        _legend(figure, top)
        bottom.set_ylabel("windows")
        bottom.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        bottom.set_xlabel("motion: LPIPS between the last frame and the next")
        return _svg(figure)


def distribution_curve(spread: Mapping[str, Any], names: Mapping[str, str], when: str) -> str:
    """How many windows have which LPIPS at one step, which is ``when``, an outline for each method (Shouno's figure 6, right)."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(width=6.4, height=4.2)
        for method, counts in spread["counts"].items():
            colour = COLOURS.get(method, OTHER_COLOUR)
            front = 3 if method == "predictor" else 2
            axes.stairs(counts, spread["edges"], color=colour, label=names[method], linewidth=1.8, zorder=front)
        axes.set_xlabel(f"LPIPS at {when}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("windows")
        _legend(figure, axes)
        return _svg(figure)


def _axes(width: float = 3.65, height: float = 2.9) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the plot, where it covers no line."""
    handles, names = axes.get_legend_handles_labels()
    columns = len(names) if len(names) < 4 or figure.get_figwidth() > 5 else 2
    figure.legend(
        handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=9, handlelength=1.5, columnspacing=1.2
    )


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
