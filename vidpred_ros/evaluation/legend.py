"""Which colour is which class, as a picture to put below label maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vidpred_ros.evaluation.filmstrip import INK, PAPER, font
from vidpred_ros.semantics import CLASS_NAMES, PALETTE

ENTRY_WIDTH, ENTRY_HEIGHT = 150, 30


def class_legend(classes: Sequence[int], width: int) -> NDArray[np.uint8]:
    """The train ids ``classes`` with their colours, as many in a row as ``width`` pixels hold (HxWx3 uint8 RGB)."""
    columns = max(1, width // ENTRY_WIDTH)
    picture = Image.new("RGB", (width, ENTRY_HEIGHT * -(-len(classes) // columns)), PAPER)
    draw = ImageDraw.Draw(picture)
    for i, c in enumerate(classes):
        x, y = i % columns * ENTRY_WIDTH, i // columns * ENTRY_HEIGHT
        draw.rectangle((x, y + 6, x + 20, y + 24), fill=tuple(int(v) for v in PALETTE[c]))
        draw.text((x + 28, y + 4), CLASS_NAMES[c], INK, font(17))
    return np.asarray(picture)
