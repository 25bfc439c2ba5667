"""Write measured scores into a model's card: `python -m training.scores models/NAME OUT/metrics.json ...`.

Takes what `vidpred evaluate` wrote and refuses results of other weights, so that a card states only what was measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from vidpred_ros.errors import ModelError, VidpredError
from vidpred_ros.models import CARD, read_card

METRICS = ("ssim", "psnr", "lpips")
console = Console(stderr=True)


def entries(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One flat entry for each horizon of a metrics.json: the model's values and the baselines' beside them."""
    protocol, found = results["protocol"], []
    for horizon in results["horizons"]:
        methods = horizon["methods"]
        entry = {"source": Path(results["source"]).name, "step": horizon["step"], "seconds": horizon["seconds"]}
        entry |= {name: round(methods["predictor"][name], 4) for name in METRICS}
        for baseline in ("copy_last", "optical_flow"):
            entry[baseline] = " / ".join(f"{methods[baseline][name]:.4g}" for name in METRICS)
        entry |= {"windows": protocol["windows"], "engine": results["engine"], "data_sha256": results["data_sha256"][:16]}
        found.append(entry)
    return found


def add_scores(folder: Path, files: list[Path]) -> int:
    """Replace the scores in FOLDER/model.yaml by those of the metrics.json files. Raises ModelError for other weights."""
    card = read_card(folder)
    scores: list[dict[str, Any]] = []
    for file in files:
        results = json.loads(file.read_text())
        if results.get("weights_sha256") != card.weights_sha256:
            raise ModelError(f"{file} was measured with other weights than {folder} holds; evaluate again")
        scores += entries(results)
    values = card.model_copy(update={"scores": scores}).model_dump(mode="json")
    (folder / CARD).write_text(yaml.safe_dump(values, sort_keys=False, width=100))
    return len(scores)


def main(
    folder: Annotated[Path, typer.Argument(help="the model's folder")],
    files: Annotated[list[Path], typer.Argument(help="metrics.json files of vidpred evaluate")],
) -> None:
    """Write measured scores into a model's card."""
    try:
        count = add_scores(folder, files)
    except VidpredError as error:
        console.print(f"[red]error:[/red] {error}", soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(f"{folder / CARD}: {count} scores")


if __name__ == "__main__":
    typer.run(main)
