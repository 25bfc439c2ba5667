"""Checkpoints: written whole or not at all, read with a clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vidpred_ros.errors import ModelError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` beside ``path`` and move it into place, so that a killed run leaves the last good file."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only). Raises ModelError for a file that is damaged or another thing."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"no checkpoint {path}") from None
    except Exception as error:  # noqa: BLE001 - torch raises many kinds for a damaged archive
        raise ModelError(f"{path} is not a checkpoint of this trainer, or is damaged: {error}") from None
    if not isinstance(state, dict) or not {"recipe", "network", "released", "step"} <= state.keys():
        raise ModelError(f"{path}: expected a checkpoint with recipe, network, released and step")
    return state
