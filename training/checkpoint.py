"""Checkpoints: written whole or not at all, read with a clear error."""

from __future__ import annotations

import os
import string
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from training.recipe import RECIPES
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.models import find_model

KEYS = frozenset({"recipe", "step", "networks", "released", "optimizers", "scaler", "best"})


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` beside ``path`` and move it into place, so that a killed run leaves the last good file.

    Raises ModelError when it cannot be written.
    """
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        torch.save(state, part)
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises the latter, of its own archive, on a full disk
        why = f" ({error.strerror})" if isinstance(error, OSError) else ""
        raise ModelError(f"{path} cannot be written{why}: is its disk full? What was there before is whole") from None
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only). Raises ModelError for a file that is damaged or another thing."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"no checkpoint {path}") from None
    except Exception as error:  # noqa: BLE001 - torch raises many kinds for a damaged archive
        raise ModelError(f"{path} is not a checkpoint of this trainer, or is damaged: {error}") from None
    if not isinstance(state, dict) or not KEYS <= state.keys():
        missing = ", ".join(sorted(KEYS - state.keys())) if isinstance(state, dict) else "everything"
        raise ModelError(f"{path} is no checkpoint of this version of the trainer: it lacks {missing}")
    return state


def initial_weights(text: str) -> Path:
    """The file that ``init`` means: a checkpoint (*.pt), or the weights of a released model (name or folder).

    $NAME in ``text`` is filled in from the environment. Raises ModelError where there is none, ConfigError for a NAME that is
    not set.
    """
    try:
        text = string.Template(text).substitute(os.environ)
    except KeyError as error:
        raise ConfigError(f"init: {text}: set the environment variable {error}") from None
    path = Path(text)
    if path.suffix != ".pt":
        return find_model(text).verified_weights
    if not path.is_file():
        recipe = path.parent.name
        train = f"; train {recipe} first: python -m training.train {recipe}" if (RECIPES / f"{recipe}.yaml").is_file() else ""
        raise ModelError(f"init: no checkpoint {text}{train}")
    return path


def initialise(network: nn.Module, text: str) -> list[str]:
    """Start ``network`` with the released weights of what ``initial_weights`` finds.

    Returns the parameters that the file does not know, which keep their first values: a head that was added since. Raises
    ModelError for weights that do not fit, and names them.
    """
    path = initial_weights(text)
    weights = load(path)["released"] if path.suffix == ".pt" else load_file(path)
    own = network.state_dict()
    wrong = [name for name, value in weights.items() if name not in own or own[name].shape != value.shape]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(f"init: {text} is another network than the recipe's: {', '.join(wrong[:3])}{more} do not fit")
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in weights.items()}, strict=False)
    return sorted(own.keys() - weights.keys())
