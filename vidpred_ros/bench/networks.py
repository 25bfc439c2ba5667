"""The networks whose speed is measured: released ones, and forms that nobody has trained, with random weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors.numpy import save_file

from vidpred_ros.bench.goals import SIZE
from vidpred_ros.engines.base import cache_folder
from vidpred_ros.models import CARD, INT8, WEIGHTS, Int8, ModelCard, ReleasedModel, Training, find_model
from vidpred_ros.networks.config import HierarchicalConfig

#: Of what goes into an untrained network's convolutions, for int8: speed does not hang on it.
RANGE = 8.0


def untrained(name: str) -> HierarchicalConfig | None:
    """The settings of ``paper_wNN`` or ``tree_wNN``, NN the width in hundredths; None for another name."""
    form, _, width = name.rpartition("_w")
    if form not in ("paper", "tree"):
        return None
    # the paper's head either way; a tree makes all frames in one pass, since only so does it stream
    rollout = "direct" if form == "tree" else "recursive"
    return HierarchicalConfig.model_validate({"form": form, "width": int(width) / 100, "rollout": rollout})


def network_named(name: str) -> ReleasedModel:
    """A released model, or an untrained network, whose folder is made in the cache when it is not there.

    Raises ModelError for an unknown name; ImportError where an untrained one is to be made and torch is not installed.
    """
    config = untrained(name)
    if config is None:
        return find_model(name)
    folder = cache_folder().parent / "bench" / name
    if not (folder / CARD).is_file():
        make_untrained(folder, config)
    return ReleasedModel(folder)


def make_untrained(folder: Path, config: HierarchicalConfig) -> None:
    """A model folder with random float16 weights: convolutions of variance 2 / fan-in (He 2015), so that activations neither
    vanish nor grow, and batch norms that change nothing."""
    from vidpred_ros.networks import make_network  # imports torch

    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[np.generic]] = {}
    parameters = 0
    for key, tensor in make_network(config).state_dict().items():
        start = tensor.numpy()
        parameters += start.size if start.dtype.kind == "f" and "running" not in key else 0
        if start.ndim >= 2:
            spread = np.sqrt(2 / np.prod(start.shape[1:]))
            weights[key] = (spread * rng.standard_normal(start.shape, np.float32)).astype(np.float16)
        else:
            weights[key] = start.astype(np.float16) if start.dtype.kind == "f" else np.atleast_1d(start).reshape(start.shape)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS)
    card = ModelCard(
        id=folder.name,
        network=config,
        parameters=parameters,
        size=SIZE,
        period=0.1,
        training=Training(recipe="none", steps=0, data=[], licence="none: random weights", seed=0),
        weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
    )
    ranges = {f"network.{key}": RANGE for key, weight in weights.items() if weight.ndim >= 4}  # of convolutions
    measured = Int8(weights_sha256=card.weights_sha256, sources=[], windows=0, clipping="none", kept={}, ranges=ranges)
    (folder / INT8).write_text(measured.model_dump_json(indent=1))
    (folder / CARD).write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False))  # last: now it is whole
