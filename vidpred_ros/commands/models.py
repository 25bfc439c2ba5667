"""``vidpred models``: what there is to predict with."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: What each kind of network is for.
MAKES = {
    "hierarchical": "future frames (--model)",
    "multiscale": "future frames (--model)",
    "stochastic": "future frames (--model)",
    "structure": "future label maps (--structure-model)",
    "s2s": "future label maps (--structure-model)",
    "segmenter": "label maps of frames (--segmenter)",
    "edges": "instance boundaries of label maps (--edges)",
    "pixels": "frames of label maps (--pixels)",
}


def models() -> None:
    """List the released models with what they make, size, period, parameters, the licence of their training data and their scores.

    Models are folders with a model.yaml and weights.safetensors; more of them are found through the environment
    variable VIDPRED_MODELS. The baselines copy_last and optical_flow are models as well.

    Example:

      vidpred models && vidpred evaluate synthetic:seed=1,seconds=20 --model hrp_tree_w50
    """
    from vidpred_ros.models import list_models
    from vidpred_ros.predictors import BASELINES

    console = Console()
    found = list_models()
    for model in found:
        card = model.card
        grid = Table.grid(padding=(0, 2))
        kind, steps = card.network.kind, card.network.max_steps
        grid.add_row("makes", MAKES[kind])
        seen = f"{card.window} {'label maps' if kind in ('structure', 's2s') else 'frames'} {card.period:g} s apart"
        grid.add_row("size", f"{card.size[1]}x{card.size[0]}" + (f", {seen}" if card.window > 1 else ""))
        more = f", up to {steps} steps" if "future" in MAKES[kind] else ""
        grid.add_row("network", f"{kind}, {card.parameters / 1e6:.1f} M parameters{more}")
        grid.add_row("trained on", escape(", ".join(card.training.data)))
        grid.add_row("licence", escape(card.training.licence))
        for score in card.scores:
            grid.add_row("score", escape(_in_words(score)))
        grid.add_row("folder", escape(str(model.folder)))
        console.print(f"[bold]{escape(model.id)}[/]", highlight=False)
        console.print(grid, highlight=False)
        console.print()
    if not found:
        console.print("No released model was found; VIDPRED_MODELS names folders to search.")
    console.print(f"Without weights: {', '.join(BASELINES)}", highlight=False)


def _in_words(score: dict[str, object]) -> str:
    """Without what has a table in the model's card, such as the IoU of each class."""
    return ", ".join(f"{key} {value}" for key, value in score.items() if isinstance(value, (str, int, float)))
