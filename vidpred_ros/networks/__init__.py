"""The networks of the papers, one file for each: `make_network(config)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidpred_ros.networks.config import HierarchicalConfig, MultiScaleConfig, StochasticConfig

if TYPE_CHECKING:
    from torch import nn


def make_network(config: HierarchicalConfig | MultiScaleConfig | StochasticConfig) -> nn.Module:
    """The untrained network of a config; torch is imported only now.

    Every network is called ``network(frames, flows, steps, noise=None)`` and returns (B, K, 3, H, W) in [0, 1]: frames
    (B, 8, 3, H, W) in [0, 1], flows (B, 8, 2, H, W) in pixels or None, steps the wanted future frames, noise (B, K, Z)
    standard normal for stochastic networks (None: the prior's mean).
    """
    if isinstance(config, MultiScaleConfig):
        from vidpred_ros.networks.multiscale import MultiScale

        return MultiScale(config)
    if isinstance(config, StochasticConfig):
        from vidpred_ros.networks.stochastic import Stochastic

        return Stochastic(config)
    from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual

    return HierarchicalResidual(config)
