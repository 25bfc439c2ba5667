"""``vidpred``: the commands, without a ROS graph (only ``demo`` and a part of ``bench`` start one).

Exit codes: 0 done; 1 a check failed; 2 the input or the machine does not allow it, with one line that says why.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand

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


class Command(TyperCommand):
    """A command that quotes a value which is none: of what is wrong with it, Typer says only what it should be."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            found: list[Any] = getattr(error.__cause__, "errors", list)()  # pydantic's, which tell the value
            if found and repr(found[0]["input"]) not in error.message:
                error.message = f"{found[0]['input']!r}: {error.message[:1].lower()}{error.message[1:]}"
            raise


def help_of(command: Callable[..., None]) -> str:
    """The docstring with the lines of each paragraph joined, for a terminal of any width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


app = typer.Typer(
    help="See what a car's camera will see next: predict, score and show future frames.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, evaluate, table, predict, label, bench, models, export, build, doctor):
    app.command(cls=Command, help=help_of(command))(command)


def main() -> None:
    """Entry point: an error that the user can mend is one line and exit code 2, without a traceback."""
    try:
        app()
    except VidpredError as error:
        _refuse(str(error))
    except OSError as error:  # of a disk that is full, a file that may not be read
        _refuse(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse(why: str) -> NoReturn:
    Console(stderr=True).print(f"[bold red]vidpred:[/] {escape(why)}", soft_wrap=True, highlight=False)
    sys.exit(2)


if __name__ == "__main__":
    main()
