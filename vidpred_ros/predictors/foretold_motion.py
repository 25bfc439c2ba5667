"""The motion that a frame predictor foretells, for label maps to be moved by.

A hierarchical network with a warp head says for each future frame where its pixels come from. It was trained on that with
far more frames than there are label maps, knows how a car sways, and corrects the classical flow where that fails: so
moved, label maps are a better guess than along the flow itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.base import Arrays
from vidpred_ros.engines.choice import EngineLike
from vidpred_ros.errors import ConfigError
from vidpred_ros.models import find_model


class ForetoldMotion:
    """K backward motions from a window of 8 frames and their flows, on an engine (None: the best on this machine).

    Raises ModelError and EngineError as engines do, ConfigError for a model that foretells no motion.
    """

    def __init__(self, model: str, size: tuple[int, int], steps: int, engine: EngineLike = None) -> None:
        released = find_model(model).at(size)
        config = released.card.network
        if config.kind != "hierarchical" or config.head != "warp" or config.rollout != "direct":
            raise ConfigError(f"motion_model {released.id} foretells no motion: it needs head 'warp' and rollout 'direct'")
        self.model_id, self.steps = released.id, steps
        self._engine = open_engine(released, engine, "motion", min(steps, config.max_steps))
        self._flows = config.needs_flows

    def __call__(self, frames: Sequence[NDArray[np.uint8]], flows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """8 frames H x W x 3 RGB and their backward flows H x W x 2, the newest last -> K x H x W x 2, pixels: the frame k
        steps ahead is the newest one sampled at p + motion(p).

        Beyond the model's last step the motion of that step goes on.
        """
        inputs: Arrays = {"frames": np.stack(frames)}
        if self._flows:
            inputs["flows"] = np.stack(flows)
        motions = self._engine.infer(inputs)["motions"]
        more = self.steps - len(motions)
        if more > 0:
            stride = motions[-1] - motions[-2] if len(motions) > 1 else motions[-1]
            motions = np.concatenate([motions, motions[-1] + stride * np.arange(1, more + 1, dtype=np.float32)[:, None, None, None]])
        return motions

    def close(self) -> None:
        self._engine.close()
