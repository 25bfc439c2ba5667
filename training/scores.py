"""Measured scores in a model's card: what `vidpred evaluate` wrote, and only of the weights that the model has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from vidpred_ros.errors import ModelError
from vidpred_ros.models import CARD, read_card

#: The metrics that a card states.
HEADLINE = ("ssim", "psnr", "lpips")


def entries(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One flat entry for each horizon of a metrics.json: the model's values, and the other methods' as "SSIM / PSNR / LPIPS"."""
    protocol, found = results["protocol"], []
    for horizon in results["horizons"]:
        methods = horizon["methods"]
        entry = {"source": Path(results["source"]).name, "step": horizon["step"], "seconds": horizon["seconds"]}
        for name in HEADLINE:
            value = methods["predictor"][name]
            entry[name] = None if value is None else round(value, 4)
        for method in [name for name in methods if name != "predictor"]:
            values = (methods[method][name] for name in HEADLINE)
            entry[method] = " / ".join("n/a" if value is None else f"{value:.4g}" for value in values)
        entry |= {"windows": protocol["windows"], "engine": results["engine"], "data_sha256": results["data_sha256"][:16]}
        found.append(entry)
    return found


def add_scores(folder: Path, files: list[Path]) -> int:
    """Replace the scores in FOLDER/model.yaml by those of the metrics.json files, and return how many there are.

    Raises ModelError for results of other weights and for files that are no results.
    """
    card = read_card(folder)
    scores: list[dict[str, Any]] = []
    for file in files:
        try:
            results = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} is no metrics.json of vidpred evaluate: {error}") from None
        if results.get("weights_sha256") != card.weights_sha256:
            raise ModelError(f"{file} was measured with other weights than {folder} holds; evaluate again")
        scores += entries(results)
    values = card.model_copy(update={"scores": scores}).model_dump(mode="json")
    (folder / CARD).write_text(yaml.safe_dump(values, sort_keys=False, width=100))
    return len(scores)
