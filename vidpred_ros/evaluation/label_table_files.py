"""Writes a table of structure models: table.md to read, table.csv to compute with, table.json with everything, table.png."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from vidpred_ros.evaluation.label_scores import ENOUGH_WINDOWS, LABEL_METRICS
from vidpred_ros.evaluation.label_table import KEPT, horizon_of, label_table_content
from vidpred_ros.evaluation.methods import SEGMENTER, sees_the_truth
from vidpred_ros.evaluation.plots import COLOURS, STYLE
from vidpred_ros.evaluation.table import Row, Table
from vidpred_ros.evaluation.table_files import grid, host_note, model_note, table_name
from vidpred_ros.evaluation.table_plot import by_horizon, row_styles
from vidpred_ros.metrics.segmentation import LABEL_DEFINITIONS
from vidpred_ros.models import ModelCard

TITLES = {"miou": "mIoU", "miou_moving": "moving", KEPT: "kept, %"}
DIGITS = {"miou": 3, "miou_moving": 3, KEPT: 0}
ABOUT = ("segmenter", "context_labels", "against", "label_kind", "period_s", "phases")


def write_label_table(table: Table, cards: Mapping[str, ModelCard], out: Path) -> None:
    """All five files into ``out``. ``cards``: of the models, by their row's name."""
    out.mkdir(parents=True, exist_ok=True)
    content = label_table_content(table)
    content["models"] = {name: card.model_dump(mode="json", exclude={"scores"}) for name, card in cards.items()}
    (out / "table.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    _write_csv(table, out / "table.csv")
    _write_plots(table, out)
    (out / "table.md").write_text(label_markdown(table, cards))


def label_markdown(table: Table, cards: Mapping[str, ModelCard]) -> str:
    """table.md: headings of the third level and below, to stand in a larger page."""
    count = len(table.sequences)
    windows = sum(next(r for (_, s), r in table.results.items() if s == name)["protocol"]["windows"] for name in table.sequences)
    intro = (
        f"Means over {count} sequence{'s' * (count > 1)} ({windows} windows). t+k is k frames ahead; *moving* is the mean over the "
        "classes that move by themselves; *kept* is mIoU in per cent of that of the segmenter on the true "
        "future frame. **Bold** is the best of the column, the segmenter aside."
    )
    metrics = (*LABEL_METRICS, KEPT)
    head = ["Method", *(f"{TITLES[m]} t+{k}" for m in metrics for k in table.steps)]
    main = grid(head, [[table_name(row), *(_mean(table, row, k, m) for m in metrics for k in table.steps)] for row in table.rows])
    parts = [
        intro,
        main,
        "![mIoU by horizon, of all classes and of those that move](table.png)",
        "### By sequence",
        f"± is the standard deviation of the mIoU of single windows, where there are {ENOUGH_WINDOWS} or more.",
    ]
    for name in table.sequences:
        parts += [f"**{name}**", _by_sequence(table, name), *_won(table, name)]
    parts += ["### What was measured, and how", _notes(table, cards)]
    return "\n\n".join(parts) + "\n"


def _mean(table: Table, row: Row, step: int, metric: str) -> str:
    found = row.cells.get((step, metric))
    if found is None:
        return "n/a"
    text = f"{found.mean:.{DIGITS[metric]}f}"
    return f"**{text}**" if row.name in table.best(step, metric) else text


def _by_sequence(table: Table, name: str) -> str:
    seconds = {
        step: one["seconds"] for step in table.steps for row in table.rows if (one := horizon_of(table, row, name, step)) is not None
    }
    head = ["Method"]
    for step, ahead in seconds.items():
        head += [f"mIoU +{ahead:.2g} s (t+{step})", "moving", "kept, %"]
    lines = []
    for row in table.rows:
        cells = [table_name(row)]
        for step in seconds:
            one = horizon_of(table, row, name, step)
            cells += ["n/a"] * 3 if one is None else [_with_spread(one, m) for m in LABEL_METRICS] + [_percent(one["kept"]["miou"])]
        lines.append(cells)
    return grid(head, lines)


def _won(table: Table, name: str) -> list[str]:
    """In how many of the windows each model is better than the baselines."""
    lines = []
    for row in table.rows:
        result = table.results.get((row.model, name)) if row.method == "predictor" else None
        for horizon in (h for h in (result or {"horizons": []})["horizons"] if h["step"] in table.steps and h["windows_labelled"] >= ENOUGH_WINDOWS):
            parts = [
                f"{baseline} in {100 * share:.0f} %" + ("" if moving is None else f" ({100 * moving:.0f} % moving)")
                for baseline, share in horizon["windows_won"]["miou"].items()
                if share is not None
                for moving in [horizon["windows_won"]["miou_moving"][baseline]]
            ]
            if parts:
                lines.append(f"t+{horizon['step']}: {row.name} is better than {', than '.join(parts)} of the windows.")
    return lines


def _with_spread(one: Mapping[str, Any], metric: str) -> str:
    value, spread = one[metric], one["spread"]
    if value is None:
        return "n/a"
    few = spread[metric] is None or one["windows"] < ENOUGH_WINDOWS
    return f"{value:.3f}" if few else f"{value:.3f} ± {spread[metric]:.3f}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.0f}"


def _notes(table: Table, cards: Mapping[str, ModelCard]) -> str:
    results = list(table.results.values())
    about = results[0]["structure"]
    height, width = about["size"]
    seen = {name: getattr(card.network, "frames_seen", 0) for name, card in cards.items()}
    priors = [f"{count} for the motion prior of `{name}`" for name, count in seen.items() if count > about["window"]]
    more = f" ({', '.join(priors)})" if priors else ""
    how = (
        f"Protocol: {about['window']} frames in{more}, {results[0]['protocol']['steps']} out; label maps {width}x{height} "
        f"({results[0]['protocol']['crop']}), {about['model_period_s']:.4g} s apart or as near to that as the camera's rate allows; "
        f"scored: {about['scored']}."
    )
    notes = [
        how,
        f"The context's label maps are {about['context_labels']}; segmenter `{about['segmenter']}` ({about['segmenter_engine']}).",
    ]
    notes += [f"{text[0].upper()}{text[1:]}." for text in LABEL_DEFINITIONS.values()]
    notes += [model_note(table, name, card) for name, card in cards.items() if any(model == name for model, _ in table.results)]
    drawn = next((row.method for row in table.rows if row.method.startswith("best_of_")), None)
    if drawn:
        notes.append(
            f"‡ The {drawn.replace('_', ' ')} samples is picked for each window by its mIoU against the truth (Lee 2021): how far the "
            "samples reach, not a forecast; the segmenter sees the true future frame. Neither is compared."
        )
    else:
        notes.append("‡ The segmenter sees the true future frame: it is not compared.")
    for name in table.sequences:
        result = next(r for (_, s), r in table.results.items() if s == name)
        one = result["structure"]
        notes.append(
            f"{name}: {result['frames']} frames at {result['protocol']['source_rate_hz']:g} Hz, {one['windows']} windows of "
            f"{one['phases']} phases, {one['period_s']:.3g} s apart; scored against {one['against']}; "
            f"sha256 `{result['data_sha256'][:16]}`."
        )
    notes += [f"Left out: {name}: {reason}" for name, reason in table.left_out.items()]
    notes += [f"† Failed, and so not compared: {model} on {s}: {error}" for (model, s), error in table.failed.items()]
    notes += [f"Host: {text}." for text in dict.fromkeys(host_note(result["host"]) for result in results)]
    notes.append(f"Command: `{table.command}`")
    return "\n".join(f"- {note}" for note in notes)


def _write_csv(table: Table, path: Path) -> None:
    """A line for each row, sequence and horizon, with the IoU of every class."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        spread = [f"{metric}_std_of_windows" for metric in LABEL_METRICS]
        lines.writerow(
            ["row", "sequence", "step", "seconds", *LABEL_METRICS, *spread, "kept_percent", "windows", *ABOUT]
            + ["weights_sha256", "data_sha256", "cpu", "iou_by_class"]
        )
        for row in table.rows:
            for name in table.sequences:
                result = table.results.get((row.model, name)) or next(r for (_, s), r in table.results.items() if s == name)
                for step in sorted({step for step, _ in row.cells}):
                    one = horizon_of(table, row, name, step)
                    if one is None:
                        continue
                    lines.writerow(
                        [row.name, name, step, one["seconds"], *(one[m] for m in LABEL_METRICS)]
                        + [*(one["spread"][m] for m in LABEL_METRICS), one["kept"]["miou"], one["windows"]]
                        + [result["structure"][key] for key in ABOUT]
                        + [None if sees_the_truth(row.method) else result["weights_sha256"], result["data_sha256"]]
                        + [result["host"]["cpu"], " ".join(f"{c}={v:.4f}" for c, v in one["iou"].items())]
                    )


def _write_plots(table: Table, out: Path) -> None:
    """Means over the sequences by horizon, a line for each row; the segmenter dashed."""
    styles = row_styles(table.rows)
    styles[SEGMENTER] = {"color": COLOURS[SEGMENTER], "linestyle": "--", "zorder": 2}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        for axes, metric in zip(figure.subplots(1, 2), LABEL_METRICS, strict=True):
            by_horizon(axes, table, metric, styles)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), frameon=False)
        figure.savefig(out / "table.png", dpi=140)
        figure.savefig(out / "table.svg", metadata={"Date": None})
