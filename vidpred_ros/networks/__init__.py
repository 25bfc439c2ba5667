"""The networks of the papers, one file for each: `make_network(config)`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from vidpred_ros.networks.config import NetworkConfig

if TYPE_CHECKING:
    from torch import nn

#: Module and class of each kind of network.
NETWORKS = {
    "hierarchical": ("hierarchical_residual", "HierarchicalResidual"),
    "multiscale": ("multiscale", "MultiScale"),
    "stochastic": ("stochastic", "Stochastic"),
    "segmenter": ("segmenter", "Segmenter"),
    "structure": ("structure", "StructureGenerator"),
    "s2s": ("s2s", "S2S"),
    "edges": ("edges", "EdgeGenerator"),
    "pixels": ("pixels", "PixelGenerator"),
}


def make_network(config: NetworkConfig) -> nn.Module:
    """The untrained network of a config; torch is imported only now.

    Every network that predicts frames from frames is called ``network(frames, flows, steps, noise=None)`` and returns
    (B, K, 3, H, W) in [0, 1]: frames (B, 8, 3, H, W) in [0, 1], flows (B, 8, 2, H, W) in pixels or None, steps the wanted
    future frames, noise (B, K, Z) standard normal for stochastic networks (None: the prior's mean). What the networks of
    label maps take stands in their own files.
    """
    module, name = NETWORKS[config.kind]
    network: nn.Module = getattr(import_module(f"vidpred_ros.networks.{module}"), name)(config)
    return network
