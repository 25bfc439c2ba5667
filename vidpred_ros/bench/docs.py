"""docs/performance.md: the figures of a run between two marks, and its plots; what stands around them is the writer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

from vidpred_ros.bench.goals import Ratio
from vidpred_ros.bench.growth import AXES

#: What stands between these lines is written anew each time.
MARKS = ("<!-- vidpred bench: begin -->", "<!-- vidpred bench: end -->")
TITLE = "# Performance"
LABELS = {"pixels": "pixels of a frame", "cameras": "cameras as one batch", "steps": "future frames"}


def write_docs(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write FOLDER/performance.md, or the part of it between ``MARKS``, and a plot for each axis in FOLDER/performance/."""
    page, pictures = folder / "performance.md", folder / "performance"
    pictures.mkdir(parents=True, exist_ok=True)
    text = f"{MARKS[0]}\n{describe(results)}\n{MARKS[1]}"
    before, begin, rest = (page.read_text() if page.is_file() else "").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    page.write_text(before + text + after if begin and end else f"{TITLE}\n\n{text}\n")
    written = [page]
    if "growth" in results:
        for axis in AXES:
            written.append(pictures / f"{axis}.png")
            plot(results["growth"], axis).savefig(written[-1], dpi=110)
    return written


def describe(results: Mapping[str, Any]) -> str:
    """The marked part, in Markdown."""
    about, parts = results["host"], []
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts.append(
        f"`{results['command']}`, {results['date']}, on {about['cpu']}, {about['cores']} cores"
        f"{', ' + about['gpu'] if about.get('gpu') else ''}"
        f"{', ' + ' and '.join(about['bf16']) if about['bf16'] else ''}, {about['memory_gb']} GB, {about['system']}.\n"
        f"Versions: {versions}."
    )
    parts.append("## Goals\n\n" + markdown(("what", "measured", "goal", "better", "unit", ""), [goal_row(r) for r in results["ratios"]]))
    if results["left_out"]:
        parts.append("Not measured here:\n\n" + "\n".join(f"- {name}: {why}" for name, why in results["left_out"].items()))
    if results["roofline"]:
        parts.append("## Roofline\n\n" + roofline_text(results))
    if "growth" in results:
        parts.append("## Growth\n\n" + growth_text(results["growth"]))
    if "stages" in results.get("node", {}):
        parts.append("## The path of a frame\n\n" + node_text(results["node"]))
    parts.append("## Times\n\n" + markdown(("case", "median ms", "p99 ms"), [time_row(one) for one in results["raw"]]))
    return "\n\n".join(parts)


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are aligned right."""
    lines = [titles, [":--", *["--:"] * (len(titles) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def goal_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    ratio = Ratio(**entry)
    return (ratio.name, f"{ratio.measured:.2f}", f"{ratio.goal:g}", ratio.better, ratio.unit, verdict(ratio))


def verdict(ratio: Ratio) -> str:
    return "met" if ratio.met else f"missed by {ratio.missed_by:.0%}"


def time_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    if "windows_per_s" in one:
        return (one["case"], f"{one['windows_per_s']:.1f} windows/s", "")
    return (one["case"], f"{one['median']:.2f}", f"{one['p99']:.2f}")


def roofline_text(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    titles = ("case", "GFLOP", "without padding", "MB", "ms", "GFLOP/s", "of peak", "GB/s", "of roof")
    rows = [
        (
            one["case"],
            f"{one['gflop']:.1f}",
            f"{one['useful_gflop']:.1f}",
            f"{one['megabytes']:.0f}",
            f"{one['ms']:.1f}",
            f"{one['gflop_s']:.0f}",
            f"{one['share_of_peak']:.2f}",
            f"{one['gb_s']:.1f}",
            f"{one['share_of_roof']:.2f}",
        )
        for one in results["roofline"]
    ]
    peaks = ", ".join(f"{key.removesuffix('_gflops')} {value:.0f} GFLOP/s" for key, value in machine.items() if key.endswith("_gflops"))
    return (
        f"Peaks of the machine in the same run: {peaks} (the fastest of OpenVINO's products of matrices of 1024 and 2048, as MatMul "
        f"and as 1x1 convolution); copying memory {machine['copy_gb_s']:.0f} GB/s.\n\n" + markdown(titles, rows)
    )


def growth_text(growth: Mapping[str, Any]) -> str:
    rows = []
    for axis in AXES:
        found = growth[axis]
        times = ", ".join(f"{value}: {ms:.1f}" for value, ms in zip(found["values"], found["median_ms"], strict=True))
        rows.append((LABELS[axis], f"{found['exponent']:.2f}", times))
    plots = "\n".join(f"![ms against {LABELS[axis]}](performance/{axis}.png)" for axis in AXES)
    return (
        f"One streamed pass of {growth['model']} on {growth['engine']}; exponent of the fitted power law, 1 is linear.\n\n"
        f"{markdown(('of', 'exponent', 'median ms'), rows)}\n\n{plots}"
    )


def node_text(node: Mapping[str, Any]) -> str:
    height, width = node["camera"]["size"]
    counts = node["windows"]
    rows = [(stage, f"{times['median']:.2f}", f"{times['p99']:.2f}") for stage, times in node["stages"].items()]
    return (
        f"{node['model']} on {node['engine']}, K = {node['steps']}, raw {width}x{height} at {node['camera']['rate_hz']:g} Hz: of "
        f"{counts['expected']} windows {counts['predicted']} predicted, {counts['skipped_busy']} skipped while busy, "
        f"{counts['lost']} lost.\n\n" + markdown(("stage", "median ms", "p99 ms"), rows)
    )


def plot(growth: Mapping[str, Any], axis: str) -> Figure:
    """Milliseconds against what grows, the fitted power law, and what linear growth from the first point would cost."""
    found = growth[axis]
    values, times, power = found["values"], found["median_ms"], found["exponent"]
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.loglog(values, [times[0] * value / values[0] for value in values], "--", color="#9ca3af", label="linear")
        scale = np.exp(np.mean(np.log(times) - power * np.log(values)))
        axes.loglog(values, [scale * value**power for value in values], color="#d97706", label=f"fit: power {power:.2f}")
        axes.loglog(values, times, "o", color="#1d4ed8", label="measured")
        axes.set_xticks(values, [str(value) for value in values], minor=False)
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.set_xlabel(LABELS[axis])
        axes.set_ylabel("ms of one pass")
        axes.set_title(f"{growth['model']}, streamed, {growth['engine']}", fontsize=10)
        axes.legend(frameon=False)
    return figure
