"""The settings of each network, readable without torch: model.yaml, recipes and engines share them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Channels of the four modules at width 1.0 (Shouno 2020, section 3.2).
CHANNELS = (64, 128, 256, 512)
#: Frames that the generator sees; three lateral blocks halve time from 8 to 1.
WINDOW = 8


class HierarchicalConfig(BaseModel):
    """Settings of the hierarchical residual generator (Shouno 2020) and of what we add beside the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["paper", "tree"] = "tree"  # tree: every activation depends on a fixed set of frames, so it streams
    width: float = Field(1.0, gt=0, le=4)  # factor on CHANNELS
    dropout: float = Field(0.5, ge=0, lt=1)  # noise in the top-down blocks of the upper two modules, training only
    head: Literal["pixels", "warp"] = "pixels"
    motion_prior: Literal["none", "dis"] = "none"  # dis: classical flow of the last frames as input channels
    rollout: Literal["recursive", "direct"] = "recursive"
    max_steps: int = Field(10, ge=1, le=30)  # longest horizon that is offered (direct: that was trained)

    @model_validator(mode="after")
    def _prior_needs_warp(self) -> HierarchicalConfig:
        if self.motion_prior == "dis" and self.head == "pixels" and self.rollout == "recursive":
            # a predicted frame has no classical flow, and a pixel head predicts none that could take its place
            raise ValueError("motion_prior 'dis' with rollout 'recursive' needs head 'warp'")
        return self

    @property
    def channels(self) -> tuple[int, int, int, int]:
        a, b, c, d = (max(4, round(c * self.width)) for c in CHANNELS)
        return a, b, c, d
