"""``vidpred``: the commands, without a ROS graph (only ``demo`` and a part of ``bench`` start one).

Exit codes: 0 done; 1 a check failed; 2 the input or the machine does not allow it, with one line that says why.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from vidpred_ros.commands.bench import bench
from vidpred_ros.commands.build import build
from vidpred_ros.commands.demo import demo
from vidpred_ros.commands.doctor import doctor
from vidpred_ros.commands.evaluate import evaluate
from vidpred_ros.commands.export import export
from vidpred_ros.commands.label import label
from vidpred_ros.commands.models import models
from vidpred_ros.commands.predict import predict
from vidpred_ros.commands.table import table
from vidpred_ros.errors import VidpredError

app = typer.Typer(
    help="See what a car's camera will see next: predict, score and show future frames.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, evaluate, table, predict, label, bench, models, export, build, doctor):
    app.command()(command)


def main() -> None:
    """Entry point: an error that the user can mend is one line and exit code 2, without a traceback."""
    try:
        app()
    except VidpredError as error:
        Console(stderr=True).print(
            f"[bold red]vidpred:[/] {escape(str(error))}", soft_wrap=True, highlight=False
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
