"""README.md of a released model, written from its model.yaml and recipe.yaml by the template beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import yaml

from training.scores import class_table, headline
from vidpred_ros.models import INT8, RECIPE, ModelCard, ReleasedModel, read_card

#: What stands between these lines is written anew each time; the rest is the releaser's.
MARKS = ("<!-- vidpred export: begin -->", "<!-- vidpred export: end -->")
TITLES = {"ssim": "SSIM", "psnr": "PSNR, dB", "lpips": "LPIPS", "miou": "mIoU", "miou_moving": "mIoU, moving classes"}
DIGITS = {"ssim": 3, "psnr": 1, "lpips": 3, "miou": 3, "miou_moving": 3}


def write_readme(folder: Path) -> bool:
    """Write FOLDER/README.md, or the part of it between ``MARKS``; False, and nothing is written, when it has no marks."""
    path = folder / "README.md"
    text = describe(folder)
    if path.is_file():
        before, begin, rest = path.read_text().partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if not begin or not end:
            return False
        path.write_text(before + text + after)
    else:
        path.write_text(f"# {read_card(folder).id}\n\n{text}\n")
    return True


def describe(folder: Path) -> str:
    """The marked part of the README."""
    card = read_card(folder)
    recipe = folder / RECIPE
    settings: dict[str, Any] = yaml.safe_load(recipe.read_text()) if recipe.is_file() else {}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("readme.md.jinja")
    others = methods(card)
    drawn = any(name.startswith("best_of_") for name in others)
    titles = [TITLES[metric] for metric in headline(card)]
    by_class = [entry for entry in card.scores if "iou" in entry]  # a segmenter's, of single frames
    table = class_table(by_class) if by_class else ""
    int8 = ReleasedModel(folder).int8 if (folder / INT8).is_file() else None
    values: dict[str, Any] = {"int8": int8, "precisions": int8.scores if int8 else []}
    values |= {"rows": [] if table else rows(card), "class_table": table, "drawn": drawn, "titles": titles, "methods": others}
    body = template.render(card=card, recipe=settings, **values)
    return f"{MARKS[0]}\n{body.strip()}\n{MARKS[1]}"


def methods(card: ModelCard) -> list[str]:
    """What stands beside the model in its scores: best_of_N, copy_last, optical_flow."""
    found = [key for entry in card.scores for key, value in entry.items() if isinstance(value, str) and " / " in value]
    return sorted(set(found))


def rows(card: ModelCard) -> list[list[str]]:
    """The table of scores: sequence, seconds ahead, windows, and a cell for each metric with the values of every method."""
    table = []
    for entry in card.scores:
        cells = [f"`{entry['source']}`", f"+{entry['seconds']:.3g} s", str(entry["windows"])]
        for i, metric in enumerate(headline(card)):
            texts = [entry[metric], *(entry[name].split(" / ")[i] if name in entry else None for name in methods(card))]
            cells.append(" / ".join(_number(text, DIGITS[metric]) for text in texts))
        table.append(cells)
    return table


def _number(value: Any, digits: int) -> str:
    return "n/a" if value in (None, "n/a") else f"{float(value):.{digits}f}"
