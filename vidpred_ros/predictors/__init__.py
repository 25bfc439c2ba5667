"""Predictors by name: `make_predictor("hrp_tree_w25", engine="openvino", steps=5)`."""

from __future__ import annotations

from collections.abc import Callable

from vidpred_ros.engines.base import graphs_of
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.models import ReleasedModel, find_model
from vidpred_ros.networks.config import FRAME_KINDS, STRUCTURE_KINDS
from vidpred_ros.predictors.base import Predictor
from vidpred_ros.predictors.copy_last import CopyLast
from vidpred_ros.predictors.hierarchical import Hierarchical, open_hierarchical
from vidpred_ros.predictors.optical_flow import OpticalFlow
from vidpred_ros.predictors.whole import Stochastic, WholeWindow

#: Predictors without weights; they take the size and period of the model that they are compared with.
BASELINES: dict[str, Callable[[tuple[int, int], float, int], Predictor]] = {
    "copy_last": CopyLast,
    "optical_flow": OpticalFlow,
}


def make_predictor(
    model: str | ReleasedModel,
    engine: EngineLike = None,
    steps: int = 1,
    size: tuple[int, int] = (128, 160),
    period_s: float = 0.1,
    stream: bool | None = None,
) -> Predictor:
    """A baseline, or a released model (itself, its name or its folder) on an engine (None: the best one on this machine).

    ``size`` (height, width) and ``period_s`` count for baselines only: a model brings its own. ``stream``: one pass for
    each new frame instead of one for each window; None: where the model can. Raises ModelError for an unknown or
    damaged model, EngineError for an engine that is not installed, ConfigError for steps out of range and for a model
    that cannot stream.
    """
    if isinstance(model, str) and model in BASELINES:
        if steps < 1:
            raise ConfigError(f"{model} predicts 1 step or more, not {steps}")
        return BASELINES[model](size, period_s, steps)
    released = find_model(model, FRAME_KINDS) if isinstance(model, str) else model
    check_frame_model(released)
    network = released.card.network
    if stream and not network.streams:
        raise ConfigError(f"model {released.id} cannot stream ({network.kind}, {network.rollout})")
    if network.kind == "hierarchical":
        opened = open_hierarchical(released, engine, steps, network.streams if stream is None else stream)
        return Hierarchical(released, opened, steps)
    return (Stochastic if network.noise_channels else WholeWindow)(released, engine, steps)


def find_frame_model(name: str) -> ReleasedModel:
    """A released model of frames, by name or folder. Raises ModelError for what is none; a baseline has no model."""
    if name in BASELINES:
        raise ModelError(f"{name} is a baseline, which has no network; name a released model (`vidpred models` lists them)")
    model = find_model(name, FRAME_KINDS)
    check_frame_model(model)
    return model


def check_frame_model(model: ReleasedModel) -> None:
    """Raise ModelError for a model that does not predict frames."""
    network = model.card.network
    if "whole" in graphs_of(network):
        return
    labels = network.kind in STRUCTURE_KINDS
    why = "predicts label maps: use it with --structure (in the node: structure_model)" if labels else "is no predictor"
    raise ModelError(f"model {model.id} is a {network.kind} network and {why}; name a model that predicts frames")
