"""``vidpred table``: several models on several sequences, as one table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vidpred_ros.commands.common import (
    DEFAULT_SEGMENTER,
    ClassesOption,
    ContextLabels,
    EngineOption,
    StepsOption,
    check_out,
    command_line,
    context_of,
    counted,
    frames_bar,
    print_files,
)


def table(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODELS...",
            help="released models, model folders, checkpoints (*.pt), runs, or recipes whose run lies in --runs",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            "-d",
            help="a SOURCE, a folder of sequences, or a data set (caltech:FOLDER); may be given again",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="of the folder's splits.json, such as val", show_default="all sequences")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the table and what is kept")] = Path("out/table"),
    steps: StepsOption = 5,
    engine: EngineOption = None,
    samples: Annotated[int, typer.Option("--samples", min=0, help="draws of stochastic models (of label maps 8 at most); 0: none")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of these draws")] = 0,
    segmenter: Annotated[str, typer.Option("--segmenter", help="of structure models: a released one, or .onnx")] = DEFAULT_SEGMENTER,
    classes: ClassesOption = None,
    context_labels: Annotated[
        ContextLabels, typer.Option("--context-labels", help="whose label maps structure models predict from")
    ] = ContextLabels.segmenter,
    period: Annotated[
        float | None, typer.Option("--period", min=1e-3, help="seconds between label maps", show_default="the models' own")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="where the runs of recipes are")] = Path("runs"),
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="processes", show_default="one for each core")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="use the machines of a Ray cluster (auto, HOST:PORT)", show_default=False),
    ] = None,
) -> None:
    """Score models on sequences and write one table, with copying the last frame and optical flow in it.

    Writes table.md, table.csv, table.json, table.png and table.svg into --out. What is measured is kept there too: the
    same weights, data and protocol are not measured again. A model that fails is named, the others go on, and the exit
    code is 1. With Ray, models and data lie under the same paths on every machine.

    Structure models have a table of label maps: mIoU of all classes and of those that move, with copied labels, labels moved
    by optical flow and the segmenter on the true future frame.

    Examples:

      vidpred table hrp_tree_w25 hrp_tree_w50 --data synthetic:seed=1,seconds=20

      vidpred table shouno_gan_vgg runs/svg/best.pt --data sequences/ --split val

      vidpred table runs/shouno_gan_vgg --data caltech:data --steps 10 --ray auto

      vidpred table hvp_structure_slim --data sequences/ --period 0.1765 --steps 3
    """
    from vidpred_ros.evaluation.label_jobs import LabelSettings
    from vidpred_ros.evaluation.table_run import run_table

    check_out(out)
    console = Console()
    command = command_line()
    with frames_bar(console) as progress:
        task = progress.add_task("preparing", total=None)

        def show(done: int, total: int, text: str) -> None:
            progress.update(task, completed=done, total=total, description=escape(text))

        finished = run_table(
            models,
            data,
            split,
            out,
            steps=steps,
            engine=engine,
            samples=samples,
            seed=seed,
            runs=runs,
            workers=workers or len(os.sched_getaffinity(0)),
            ray=ray,
            command=command,
            show=show,
            labels=LabelSettings(segmenter, str(classes) if classes else None, context_of(context_labels), period),
        )
    _print(console, finished)
    print_files(console, out, "table.json", "table.csv", "table.png", "table.md")
    for name, reason in finished.left_out.items():
        console.print(f"[yellow]left out:[/] {escape(name)}: {escape(reason)}", highlight=False, soft_wrap=True)
    for (model, sequence), error in finished.failed.items():
        console.print(f"[bold red]failed:[/] {escape(f'{model} on {sequence}: {error}')}", highlight=False, soft_wrap=True)
    if finished.failed:
        raise typer.Exit(1)


def _print(console: Console, finished: Any) -> None:
    """The main table of table.md on the terminal: first and last horizon."""
    from rich import box
    from rich.table import Table as Grid

    from vidpred_ros.evaluation import label_table_files, table_files
    from vidpred_ros.evaluation.label_scores import LABEL_METRICS
    from vidpred_ros.metrics import HEADLINE

    of_labels = any((finished.steps[0], "miou") in row.cells for row in finished.rows)
    metrics, files = (LABEL_METRICS, label_table_files) if of_labels else (HEADLINE, table_files)
    grid = Grid(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    grid.add_column("", no_wrap=True)
    columns = [(metric, step) for metric in metrics for step in dict.fromkeys((finished.steps[0], finished.steps[-1]))]
    for metric, step in columns:
        grid.add_column(f"{files.TITLES[metric]}\nt+{step}", justify="right", no_wrap=True)
    for row in finished.rows:
        cells = []
        for metric, step in columns:
            cell = row.cells.get((step, metric))
            text = "n/a" if cell is None else f"{cell.mean:.{files.DIGITS[metric]}f}"
            cells.append(f"[bold green]{text}[/]" if row.name in finished.best(step, metric) else text)
        grid.add_row(escape(row.name), *cells)
    unit = "" if of_labels else "; PSNR in dB"
    of = f"{counted(len(finished.sequences), 'sequence')}: {', '.join(finished.sequences)}"
    console.print(f"\n{escape(of)}{unit}", highlight=False, soft_wrap=True)
    console.print(grid)
