"""A table of structure models: mIoU of each on several sequences, with the baselines and the segmenter. Content only.

As in a table of frames a sequence is one sample. What is common to all models (baselines, segmenter) comes from the first one that
was measured on a sequence: same windows, same segmenter, same context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vidpred_ros.evaluation.label_scores import LABEL_METRICS
from vidpred_ros.evaluation.methods import SEGMENTER, sees_the_truth
from vidpred_ros.evaluation.table import Cell, Results, Row, Table
from vidpred_ros.predictors import BASELINES

#: Rows that do not depend on the model, in the order that they stand in below the models.
COMMON = (*BASELINES, SEGMENTER)
#: Beside the metrics: per cent kept of what the segmenter has on the true frame.
KEPT = "kept"


def make_label_table(
    models: Sequence[str],
    sequences: Sequence[str],
    results: Results,
    failed: Mapping[tuple[str, str], str],
    left_out: Mapping[str, str],
    steps: int,
    command: str,
) -> Table:
    """Models in order of their mIoU, the best first; then the baselines and the segmenter."""
    reasons = {name: result["left_out"] for (_, name), result in results.items() if "left_out" in result}
    used = [name for name in sequences if name not in reasons]
    measured = {key: result for key, result in results.items() if key[1] in used and "horizons" in result}
    shown = sorted({k for k in (1, 3, 5, steps) if k <= steps})
    rows = [row for model in models for row in _rows_of(model, used, measured)]
    rows.sort(key=lambda row: -_mean(row, shown))
    first = next(iter(measured.values()), None)
    if first is not None:
        names = {name: next(m for m in models if (m, name) in measured) for name in used if any((m, name) in measured for m in models)}
        for method in COMMON:
            mine = {name: measured[model, name] for name, model in names.items()}
            rows.append(Row(method, next(iter(names.values())), method, len(mine) == len(used), _cells(mine, method)))
    return Table(rows, used, shown, measured, {**left_out, **reasons}, dict(failed), command)


def _rows_of(model: str, sequences: Sequence[str], results: Results) -> list[Row]:
    mine = {name: results[model, name] for name in sequences if (model, name) in results}
    if not mine:
        return []
    methods = [m for m in next(iter(mine.values()))["horizons"][0]["methods"] if m not in COMMON]
    complete = len(mine) == len(sequences)
    return [
        Row(model if m == "predictor" else f"{model}, {m.replace('_', ' ')}", model, m, complete, _cells(mine, m)) for m in methods
    ]


def _cells(results: Mapping[str, Mapping[str, Any]], method: str) -> dict[tuple[int, str], Cell]:
    """By step and metric; ``kept`` is of mIoU over all classes."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    for name, result in results.items():
        for horizon in result["horizons"]:
            one = horizon["methods"][method]
            for metric, value in [*((m, one[m]) for m in LABEL_METRICS), (KEPT, one["kept"]["miou"])]:
                if value is not None:
                    found.setdefault((horizon["step"], metric), {})[name] = value
    return {key: Cell(values) for key, values in found.items()}


def _mean(row: Row, steps: Sequence[int]) -> float:
    return float(np.mean([row.cells[step, "miou"].mean for step in steps if (step, "miou") in row.cells] or [0.0]))


def horizon_of(table: Table, row: Row, sequence: str, step: int) -> Mapping[str, Any] | None:
    """What was measured of a row on one sequence at one step, with ``seconds``; None where there is nothing."""
    models = [row.model] if row.method not in COMMON else [r.model for r in table.rows]
    for model in models:
        result = table.results.get((model, sequence), {"horizons": []})
        for horizon in result["horizons"]:
            if horizon["step"] == step:
                return {**horizon["methods"][row.method], "seconds": horizon["seconds"], "windows": horizon["windows_labelled"]}
    return None


def label_table_content(table: Table) -> dict[str, Any]:
    """table.json: every number with its spread, protocol, data hash and host."""
    return {
        "command": table.command,
        "steps": table.steps,
        "rows": [
            {
                "name": row.name,
                "model": row.model,
                "method": row.method,
                "complete": row.complete,
                "compared": row.complete and not sees_the_truth(row.method),
                "horizons": [
                    {"step": step}
                    | {m: row.cells[step, m].spread() for m in (*LABEL_METRICS, KEPT) if (step, m) in row.cells}
                    for step in sorted({step for step, _ in row.cells})
                ],
            }
            for row in table.rows
        ],
        "measurements": [
            {key: value for key, value in result.items() if key != "scores"} | {"row": model, "sequence": sequence}
            for (model, sequence), result in table.results.items()
        ],
        "left_out": table.left_out,
        "failed": [{"model": m, "sequence": s, "error": error} for (m, s), error in table.failed.items()],
    }
