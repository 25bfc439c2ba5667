"""The results of several models on several sequences as one table: means, spread, ranks. Content only; see table_files.

A sequence is one sample: windows overlap, so a sequence's windows are averaged first and every sequence weighs the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vidpred_ros.evaluation.breakdown import distribution, motion_bins
from vidpred_ros.evaluation.jobs import scores_of
from vidpred_ros.evaluation.methods import sees_the_truth
from vidpred_ros.evaluation.scores import METRICS, Score
from vidpred_ros.metrics import HEADLINE, LOWER_IS_BETTER

Results = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One metric of one row at one horizon: the means of its sequences, by name, and what they come to."""

    by_sequence: dict[str, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.by_sequence.values())))

    def spread(self) -> dict[str, Any]:
        """Mean, standard deviation (of a sample; null for one sequence), least and greatest over the sequences."""
        values = list(self.by_sequence.values())
        return {
            "mean": self.mean,
            "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "min": min(values),
            "max": max(values),
            "sequences": len(values),
            "by_sequence": self.by_sequence,
        }


@dataclass(frozen=True)
class Row:
    """A line of the table: a model, or the best of a model's samples."""

    name: str
    model: str  # whose result it is
    method: str  # "predictor" or "best_of_N" there
    complete: bool  # measured on every sequence of the table
    cells: dict[tuple[int, str], Cell]  # by step and metric; one that was not computed anywhere is not there

    @property
    def ranked(self) -> bool:
        """Rows that lack a sequence, or were picked by the truth, are shown but not compared."""
        return self.complete and not sees_the_truth(self.method)


@dataclass(frozen=True)
class Table:
    """Everything that is known; ``steps`` are those with a column of their own."""

    rows: list[Row]
    sequences: list[str]
    steps: list[int]
    results: Results  # by (row's model, sequence)
    left_out: dict[str, str]  # sequences without a window, and why
    failed: dict[tuple[str, str], str]  # (model, sequence) and what went wrong
    command: str

    def best(self, step: int, metric: str) -> set[str]:
        """Names of the rows that win this column; several when they tie to the last digit."""
        means = {r.name: r.cells[step, metric].mean for r in self.rows if r.ranked and (step, metric) in r.cells}
        if not means:
            return set()
        goal = (min if metric in LOWER_IS_BETTER else max)(means.values())
        return {name for name, mean in means.items() if mean == goal}

    def ranks(self, step: int, metric: str) -> dict[str, list[int]]:
        """For each row that is compared, its rank (1 is best; ties share the better one) on each sequence, in order."""
        compared = [r for r in self.rows if r.ranked and (step, metric) in r.cells]
        found: dict[str, list[int]] = {row.name: [] for row in compared}
        sign = 1 if metric in LOWER_IS_BETTER else -1
        for sequence in self.sequences:
            values = {r.name: sign * r.cells[step, metric].by_sequence.get(sequence, np.inf) for r in compared}
            for name, value in values.items():
                found[name].append(1 + sum(other < value for other in values.values()))
        return found


def make_table(
    models: Sequence[str],
    sequences: Sequence[str],
    results: Results,
    failed: Mapping[tuple[str, str], str],
    left_out: Mapping[str, str],
    steps: int,
    command: str,
) -> Table:
    """Rows in order of their mean LPIPS over the columns (SSIM where there is none), the best first."""
    empty = {name for (_, name), result in results.items() if "left_out" in result}
    reasons = {name: result["left_out"] for (_, name), result in results.items() if "left_out" in result}
    used = [name for name in sequences if name not in empty]
    shown = sorted({k for k in (1, 3, 5, steps) if k <= steps})
    measured = {key: result for key, result in results.items() if key[1] in used and "horizons" in result}
    rows = [row for model in models for row in _rows_of(model, used, measured)]
    rows.sort(key=lambda row: _error(row, shown))
    return Table(rows, used, shown, measured, {**left_out, **reasons}, dict(failed), command)


def _rows_of(model: str, sequences: Sequence[str], results: Results) -> list[Row]:
    mine = {name: results[model, name] for name in sequences if (model, name) in results}
    if not mine:
        return []
    rows = []
    for method in next(iter(mine.values()))["horizons"][0]["methods"]:
        cells: dict[tuple[int, str], Cell] = {}
        for index, horizon in enumerate(next(iter(mine.values()))["horizons"]):
            for metric in METRICS:
                values = {name: result["horizons"][index]["methods"][method][metric] for name, result in mine.items()}
                known = {name: value for name, value in values.items() if value is not None}
                if known:
                    cells[horizon["step"], metric] = Cell(known)
        name = model if method == "predictor" else f"{model}, {method.replace('_', ' ')}"
        rows.append(Row(name, model, method, len(mine) == len(sequences), cells))
    return rows


def _error(row: Row, steps: Sequence[int]) -> float:
    found = [row.cells[step, "lpips"].mean for step in steps if (step, "lpips") in row.cells]
    return float(np.mean(found or [1 - row.cells[step, "ssim"].mean for step in steps]))


def pooled_scores(table: Table) -> list[Score]:
    """Scores of every window of every sequence, the row's name as method; for breakdowns that do without means.

    Rows that lack a sequence are left out, since they would be compared on other windows.
    """
    pooled: list[Score] = []
    offset = 0
    for sequence in table.sequences:
        windows = 0
        for row in table.rows:
            if not row.complete:
                continue
            mine = [score for score in scores_of(table.results[row.model, sequence]) if score.method == row.method]
            windows = max(windows, 1 + max(score.window for score in mine))
            pooled += [replace(score, window=score.window + offset, method=row.name) for score in mine]
        offset += windows
    return pooled


def table_content(table: Table) -> dict[str, Any]:
    """table.json: every number with its spread, protocol, seed, data hash and host."""
    pooled = pooled_scores(table)
    return {
        "command": table.command,
        "steps": table.steps,
        "rows": [
            {
                "name": row.name,
                "model": row.model,
                "method": row.method,
                "complete": row.complete,
                "horizons": [
                    {"step": step} | {m: row.cells[step, m].spread() for m in METRICS if (step, m) in row.cells}
                    for step in sorted({step for step, _ in row.cells})
                ],
            }
            for row in table.rows
        ],
        "ranks": [
            {"step": step, "metric": metric, "rows": table.ranks(step, metric)}
            for step in table.steps
            for metric in HEADLINE
        ],
        "motion_bins": motion_bins(pooled),
        "distribution": distribution(pooled) if pooled else None,
        "measurements": [
            {key: value for key, value in result.items() if key != "scores"} | {"row": model, "sequence": sequence}
            for (model, sequence), result in table.results.items()
        ],
        "left_out": table.left_out,
        "failed": [{"model": m, "sequence": s, "error": error} for (m, s), error in table.failed.items()],
    }
