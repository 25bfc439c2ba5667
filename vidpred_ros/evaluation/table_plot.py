"""table.png and table.svg: scores by horizon, their spread over sequences and over windows, and the next frame by motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vidpred_ros.evaluation.methods import sees_the_truth
from vidpred_ros.evaluation.plots import COLOURS as METHOD_COLOURS
from vidpred_ros.evaluation.plots import STYLE, tidy
from vidpred_ros.evaluation.table import Row, Table
from vidpred_ros.metrics import HEADLINE, LOWER_IS_BETTER
from vidpred_ros.predictors import BASELINES

AXES = {"ssim": "SSIM", "psnr": "PSNR, dB", "lpips": "LPIPS", "miou": "mIoU", "miou_moving": "mIoU of what moves"}
#: Okabe and Ito's colours, which the colour-blind can tell apart, without their yellow; then the same ones dashed.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def write_plots(table: Table, content: Mapping[str, Any], out: Path) -> None:
    """Both files. ``content``: table.json's."""
    styles = row_styles(table.rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(17, 5.2 + 0.32 * len(table.rows)), layout="constrained")
        # three panels above four
        panels = figure.subplot_mosaic("AAAABBBBCCCC;DDDEEEFFFGGG", height_ratios=[1, 0.35 + 0.08 * len(table.rows)])
        for place, metric in zip("ABC", HEADLINE, strict=True):
            by_horizon(panels[place], table, metric, styles)
        _by_sequence(panels["D"], table, table.steps[0], styles, named=True)
        _by_sequence(panels["E"], table, table.steps[-1], styles, named=False)
        _by_motion(panels["F"], table, content["motion_bins"]["bins"], styles)
        _distribution(panels["G"], content["distribution"], styles)
        handles, labels = panels["A"].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)), frameon=False)
        figure.savefig(out / "table.png", dpi=140)
        figure.savefig(out / "table.svg", metadata={"Date": None})


def row_styles(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """How each row is drawn wherever it is drawn."""
    styles: dict[str, dict[str, Any]] = {}
    others = [row for row in rows if row.name not in BASELINES]
    models = list(dict.fromkeys(row.model for row in others))
    for row in rows:
        if row.name in BASELINES:
            styles[row.name] = {"color": METHOD_COLOURS[row.name], "linestyle": "-", "zorder": 2}
            continue
        index = models.index(row.model)
        dashes = ":" if sees_the_truth(row.method) else ("-", "--", "-.")[index // len(COLOURS) % 3]
        styles[row.name] = {"color": COLOURS[index % len(COLOURS)], "linestyle": dashes, "zorder": 3}
    return styles


def by_horizon(axes: Axes, table: Table, metric: str, styles: Mapping[str, dict[str, Any]]) -> None:
    """Means over the sequences, a line for each row."""
    tidy(axes)
    for row in table.rows:
        points = [(step, cell.mean) for (step, name), cell in sorted(row.cells.items()) if name == metric]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=row.name, **styles[row.name])
    axes.set_title(f"{AXES[metric]} ({'lower' if metric in LOWER_IS_BETTER else 'higher'} is better)", fontsize=11)
    axes.set_xlabel("frames ahead")
    steps = sorted({step for row in table.rows for step, _ in row.cells})
    axes.set_xticks(steps)


def _by_sequence(axes: Axes, table: Table, step: int, styles: Mapping[str, dict[str, Any]], named: bool) -> None:
    """LPIPS (SSIM where there is none) of each sequence as a dot, the mean as a bar across them."""
    tidy(axes)
    axes.grid(axis="x", color="#f1f5f9")
    metric = "lpips" if any((step, "lpips") in row.cells for row in table.rows) else "ssim"
    for place, row in enumerate(reversed(table.rows)):
        if (step, metric) in row.cells:
            cell, colour = row.cells[step, metric], styles[row.name]["color"]
            values = list(cell.by_sequence.values())
            axes.plot([min(values), max(values)], [place, place], color=colour, linewidth=1, alpha=0.5)
            axes.plot(values, [place] * len(values), "o", color=colour, markersize=5, alpha=0.75)
            axes.plot([cell.mean], [place], "|", color=colour, markersize=16, markeredgewidth=2.5)
    axes.set_yticks(range(len(table.rows)), [row.name if named else "" for row in reversed(table.rows)])
    axes.set_ylim(-0.6, len(table.rows) - 0.4)  # the first and the last bar clear of the edge
    axes.set_title(f"{AXES[metric]} at t+{step}: sequences and their mean", fontsize=11)


def _by_motion(
    axes: Axes, table: Table, bins: Sequence[Mapping[str, Any]] | None, styles: Mapping[str, dict[str, Any]]
) -> None:
    """LPIPS of the next frame over the window's motion; bars behind: how many windows."""
    tidy(axes)
    if bins is None:
        axes.set_axis_off()
        return
    middles = [(one["from"] + one["to"]) / 2 for one in bins]
    counts = axes.twinx()
    counts.bar(middles, [one["windows"] for one in bins], 0.8 * (bins[0]["to"] - bins[0]["from"]), color="#e2e8f0")
    counts.set_ylabel("windows", color="#94a3b8")
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    counts.spines[["top", "left", "bottom", "right"]].set_visible(False)
    counts.tick_params(length=0, colors="#94a3b8")
    axes.set_zorder(counts.get_zorder() + 1)
    for row in table.rows:
        if row.name in bins[0]["methods"]:
            values = [one["methods"][row.name]["lpips"] for one in bins]
            axes.plot(middles, values, marker="o", markersize=4, **styles[row.name])
    axes.set_title("LPIPS at t+1, by motion", fontsize=11)
    axes.set_xlabel("motion: LPIPS between the last frame and the next")


def _distribution(axes: Axes, spread: Mapping[str, Any] | None, styles: Mapping[str, dict[str, Any]]) -> None:
    """How many windows have which LPIPS at one step (Shouno 2020, figure 6, right)."""
    tidy(axes)
    if spread is None or spread["edges"] is None:
        axes.set_axis_off()
        return
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    for name, counts in spread["counts"].items():
        axes.stairs(counts, spread["edges"], linewidth=1.4, **styles[name])
    axes.set_title(f"Number of windows by LPIPS at t+{spread['step']}", fontsize=11)
    axes.set_xlabel(f"LPIPS at t+{spread['step']}")
