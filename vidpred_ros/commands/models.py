"""``vidpred models``: what there is to predict with."""

from __future__ import annotations

import re
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vidpred_ros.models import ReleasedModel

#: What each kind of network makes, and the option that takes it.
MAKES = {
    "hierarchical": ("future frames", "--model"),
    "multiscale": ("future frames", "--model"),
    "stochastic": ("future frames", "--model"),
    "structure": ("future label maps", "--structure-model"),
    "s2s": ("future label maps", "--structure-model"),
    "segmenter": ("label maps of frames", "--segmenter"),
    "edges": ("boundaries of label maps", "--edges"),
    "pixels": ("frames of label maps", "--pixels"),
}
#: Metrics of a card, each with its digits.
METRICS = {"ssim": ("SSIM", 3), "psnr": ("PSNR, dB", 1), "lpips": ("LPIPS", 3), "miou": ("mIoU", 3), "miou_moving": ("moving mIoU", 3)}


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="a model, or its folder: all that its card says", show_default=False)
    ] = None,
) -> None:
    """List the released models: what each makes, the option that takes it, size, parameters, licence and a score.

    Models are folders with a model.yaml and weights.safetensors; more of them are found through the environment
    variable VIDPRED_MODELS. The baselines copy_last and optical_flow are models as well.

    Examples:

      vidpred models

      vidpred models hrp_tree_w50
    """
    from vidpred_ros.models import find_model, list_models
    from vidpred_ros.predictors import BASELINES

    console = Console(highlight=False)
    if name in BASELINES:
        console.print(f"{name} is a baseline: it has no weights and no card, and takes any size and period.")
        return
    if name is not None:
        print_card(console, find_model(name))
        return
    found = list_models()
    if not found:
        console.print("No released model was found; VIDPRED_MODELS names folders to search.")
    else:
        print_list(console, found)
    console.print(f"Without weights: {', '.join(BASELINES)}")


def print_list(console: Console, found: list[ReleasedModel]) -> None:
    """A row for each model; 80 columns hold it."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("model", no_wrap=True)
    for title, width in (("makes", 13), ("size,\nweights", 7), ("licence", 14), ("first score of its card", 20)):
        table.add_column(title, width=width)
    for model in found:
        card = model.card
        makes, option = MAKES[card.network.kind]
        size = f"{card.size[1]}x{card.size[0]}\n{card.parameters / 1e6:.1f} M"
        words = (makes, size, short_licence(card.training.licence), first_score(card.scores))
        table.add_row(f"[bold]{escape(model.id)}[/]\n{option}", *map(escape, words))
    console.print(table)
    console.print("`vidpred models NAME`: the whole card. Licences are of the training data, in short; the card has their words.")


def short_licence(licence: str) -> str:
    """Whether it forbids commercial use, or allows any; else its first words."""
    if re.search(r"non-?commercial|not for commercial|BY-NC", licence, re.IGNORECASE):
        return "non-commercial"
    return "free for any use" if "free for any use" in licence else textwrap.shorten(licence, 30, placeholder=" ...")


def first_score(scores: list[dict[str, Any]]) -> str:
    """The first metric of the first entry, how far ahead, and on what."""
    if not scores:
        return "none yet"
    entry = scores[0]
    metric = next((key for key in METRICS if entry.get(key) is not None), None)
    if metric is None:
        return "see its card"
    ahead = f", +{entry['seconds']:.2g} s" if "seconds" in entry else ""
    title, digits = METRICS[metric]
    return f"{title} {entry[metric]:.{digits}f}{ahead}\n{str(entry.get('source', '')).split(',')[0]}"


def print_card(console: Console, model: ReleasedModel) -> None:
    """All that the card says, but the tables of classes."""
    card = model.card
    kind, steps = card.network.kind, card.network.max_steps
    makes, option = MAKES[kind]
    grid = Table.grid(padding=(0, 2))
    grid.add_row("makes", f"{makes} ({option})")
    seen = f"{card.window} {'label maps' if kind in ('structure', 's2s') else 'frames'} {card.period:g} s apart"
    grid.add_row("size", f"{card.size[1]}x{card.size[0]}" + (f", {seen}" if card.window > 1 else ""))
    more = f", up to {steps} steps" if "future" in makes else ""
    grid.add_row("network", f"{kind}, {card.parameters / 1e6:.1f} M parameters{more}")
    grid.add_row("trained on", escape(", ".join(card.training.data)))
    grid.add_row("licence", escape(card.training.licence))
    grid.add_row("folder", escape(str(model.folder)))
    console.print(f"[bold]{escape(model.id)}[/]")
    console.print(grid)
    metrics = [key for key in METRICS if any(key in entry for entry in card.scores)]
    for source, entries in groupby(card.scores, key=lambda entry: str(entry.get("source", ""))):
        console.print(f"\n{escape(source)}: {' / '.join(METRICS[key][0] for key in metrics)}", soft_wrap=True)
        console.print(_table(list(entries), metrics))
    if card.scores:
        console.print(f"\nHow they were measured: {escape(str(model.folder / 'README.md'))}", soft_wrap=True)


def _table(entries: list[dict[str, Any]], metrics: list[str]) -> Table:
    """The scores on one source: a row for each horizon, a column for each method."""
    others = dict.fromkeys(key for entry in entries for key, value in entry.items() if isinstance(value, str) and " / " in value)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("ahead", justify="right", no_wrap=True)
    for key in ("this model", *others):
        table.add_column(key.replace("_", " "), no_wrap=True)
    for entry in entries:
        ours = " / ".join(_number(entry[key], key) for key in metrics if key in entry)
        ahead = f"+{entry['seconds']:.2g} s" if "seconds" in entry else ""
        table.add_row(ahead, ours, *(_rounded(str(entry.get(key, "")), metrics) for key in others))
    return table


def _rounded(values: str, metrics: list[str]) -> str:
    """Another method's values, as many digits each as the model's own."""
    numbers = values.split(" / ")
    if len(numbers) != len(metrics):
        return escape(values)
    return " / ".join(_number(value, key) for key, value in zip(metrics, numbers, strict=True))


def _number(value: str | float | None, metric: str) -> str:
    """With the metric's digits; "n/a" for what was not computed."""
    return "n/a" if value in (None, "n/a") else f"{float(value):.{METRICS[metric][1]}f}"
