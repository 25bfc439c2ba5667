"""``vidpred doctor``: what this machine has, and what to do."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def doctor() -> None:
    """Say what this machine has for vidpred_ros and what to do about what is missing.

    Looks at ROS 2, the DDS profile, engines and their devices, the GPU, bf16, models and the weights of the metrics.
    The exit code is 1 when something that is needed is missing; what is only useful is marked with a dash.

    Example:

      vidpred doctor || echo "something is missing"
    """
    from vidpred_ros.doctor import examine

    console = Console()
    table = Table.grid(padding=(0, 2))
    with console.status("examining"):
        checks = list(examine())
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[bold red]missing[/]" if check.needed else "[yellow]-[/]"
        table.add_row(mark, check.name, escape(check.found))
        if not check.ok:
            table.add_row("", "", f"[yellow]{escape(check.advice)}[/]")
    console.print(table, highlight=False)
    failed = [check.name for check in checks if check.needed and not check.ok]
    if failed:
        console.print(f"\n[bold red]Needed and missing:[/] {', '.join(failed)}")
        raise typer.Exit(1)
    console.print("\n[green]All that is needed is here.[/]")
