"""Measured scores in a model's card: what `vidpred evaluate` wrote, and only of the weights that the model has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from vidpred_ros.errors import ModelError
from vidpred_ros.models import CARD, ModelCard, read_card
from vidpred_ros.networks.config import LABEL_KINDS
from vidpred_ros.semantics import CLASS_NAMES

#: The metrics that a card states, of frames and of label maps.
HEADLINE = ("ssim", "psnr", "lpips")
OF_LABELS = ("miou", "miou_moving")


def headline(card: ModelCard) -> tuple[str, ...]:
    """The metrics that this model's card states."""
    return OF_LABELS if card.network.kind in LABEL_KINDS and card.network.kind != "pixels" else HEADLINE


def entries(results: dict[str, Any], card: ModelCard) -> list[dict[str, Any]]:
    """One flat entry for each horizon of a metrics.json: the model's values, and the other methods' as "SSIM / PSNR / LPIPS".

    Of label maps "mIoU / mIoU of moving classes". A segmenter's are those of the frames one step ahead, which it sees.
    """
    kind, metrics, found = card.network.kind, headline(card), []
    run = results["structure"] if kind in LABEL_KINDS else results
    own = "segmenter" if kind == "segmenter" else "predictor"
    for horizon in results["horizons"][: 1 if kind == "segmenter" else None]:
        methods = {name: values for name, values in horizon["methods"].items() if any(values[m] is not None for m in metrics)}
        entry = {"source": Path(results["source"]).name, "step": horizon["step"], "seconds": horizon["seconds"]}
        for name in metrics:
            value = methods[own][name]
            entry[name] = None if value is None else round(value, 4)
        for method in [name for name in methods if name != own and kind != "segmenter"]:
            values = (methods[method][name] for name in metrics)
            entry[method] = " / ".join("n/a" if value is None else f"{value:.4g}" for value in values)
        entry["windows"] = results["protocol"]["windows"] if run is results else run["windows"]
        entry["engine"] = run["segmenter_engine"] if kind == "segmenter" else run["engine"]
        if run is not results:
            entry["against"] = run["against"]
        found.append(entry | {"data_sha256": results["data_sha256"][:16]})
    return found


def weights_of(results: dict[str, Any], card: ModelCard) -> str | None:
    """sha256 of the weights that a metrics.json was measured with, in this model's part of it."""
    if card.network.kind not in LABEL_KINDS:
        return results.get("weights_sha256")
    key = "segmenter_sha256" if card.network.kind == "segmenter" else "weights_sha256"
    return results.get("structure", {}).get(key)


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
        if weights_of(results, card) != card.weights_sha256:
            raise ModelError(f"{file} was measured with other weights than {folder} holds; evaluate again")
        scores += entries(results, card)
    set_scores(folder, scores)
    return len(scores)


def set_scores(folder: Path, scores: list[dict[str, Any]]) -> None:
    """Replace the scores in FOLDER/model.yaml."""
    values = read_card(folder).model_copy(update={"scores": scores}).model_dump(mode="json")
    (folder / CARD).write_text(yaml.safe_dump(values, sort_keys=False, width=100))


def class_table(scores: list[dict[str, Any]]) -> str:
    """A Markdown table of a segmenter's scores (training/segmenter_scores.py): a column for each sequence, a row for each
    class with its IoU and, in brackets, its per cent of the pixels; then the means."""
    heads = [f"`{s['source']}` ({s['frames']} frames, {s['against']})" for s in scores]
    lines = ["| class | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(scores)]
    for name in CLASS_NAMES:
        cells = [f"{s['iou'][name]:.2f} ({s['per_cent'][name]:.2g} %)" if name in s["iou"] else "–" for s in scores]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for title, metric in (("mIoU", "miou"), ("mIoU, moving classes", "miou_moving")):
        values = ["–" if s[metric] is None else f"**{s[metric]:.3f}**" for s in scores]
        lines.append(f"| {title} | " + " | ".join(values) + " |")
    return "\n".join(lines)
