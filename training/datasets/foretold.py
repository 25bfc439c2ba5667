"""What a released frame predictor foretells of the motion in a training window: the motion prior "frames"."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from training.datasets.clips import channels_first
from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ConfigError
from vidpred_ros.models import find_model
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual


class Foretold:
    """Called with a window: 8 frames H x W x 3 uint8 and their backward flows (8 x H x W x 2, pixels), whatever their size.

    It gives ``steps`` x H x W x 2 float32, pixels: step k's pixels come from p + motion(p) of the newest frame. Raises
    ConfigError for a model that foretells no motion or not so many steps, and ModelError for one that is not there.
    """

    def __init__(self, name: str, steps: int) -> None:
        model = find_model(name)
        config = model.card.network
        if config.kind != "hierarchical" or config.head != "warp" or config.rollout != "direct":
            raise ConfigError(f"motion_model: {name} foretells no motion; that needs head 'warp' and rollout 'direct'")
        if steps > config.max_steps:
            raise ConfigError(f"motion_model: {name} foretells {config.max_steps} steps, not {steps}")
        self._flows = config.needs_flows
        self._network = cast(HierarchicalResidual, load_network(model)).eval()
        self._steps = range(1, steps + 1)

    @torch.no_grad()
    def __call__(self, frames: NDArray[np.uint8], flows: NDArray[np.float32]) -> NDArray[np.float32]:
        images = torch.from_numpy(channels_first(frames, False).astype(np.float32) / 255)
        fields = torch.from_numpy(channels_first(flows, False).astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            motions = self._network.motions(images[None], fields[None] if self._flows else None, self._steps)
        return np.ascontiguousarray(motions[0].float().permute(0, 2, 3, 1).numpy())
