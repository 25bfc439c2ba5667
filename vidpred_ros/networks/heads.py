"""From the top-down output d_1 (B, C, H, W) to future frames (B, K, 3, H, W) and, for a warp, the flow of each.

``PixelHead`` is the paper's: "a convolutional layer and sigmoid function". The other two are ours: they predict K steps
in one pass, each conditioned on its k, from the real last frame (rollout ``direct``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.warping import extrapolate, warp

#: Channels of the step heads; enough for flow, mask and colours at full size, and cheap.
HIDDEN = 32
#: A unit of the flow outputs, in pixels: a first guess is a few pixels off, not a fraction of one.
FLOW_UNIT = 4.0
#: k enters as k / STEP_UNIT.
STEP_UNIT = 5.0


class PixelHead(nn.Module):
    """Convolution and sigmoid (Shouno 2020, section 3.2): one step; recursion makes the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, d: Tensor, frames: Tensor, flows: Tensor | None, steps: Sequence[int]) -> tuple[Tensor, None]:
        return torch.sigmoid(self.conv(d)).float()[:, None], None


class StepTrunk(nn.Module):
    """Joins d_1, convolved once, with what is known of a step k (``hints``: B x C x H x W) and k itself."""

    def __init__(self, channels: int, hints: int, outputs: int) -> None:
        super().__init__()
        self.shared = nn.Conv2d(channels, HIDDEN, 3, padding=1)
        self.hint = nn.Conv2d(hints + 1, HIDDEN, 3, padding=1)  # + 1: the plane that holds k
        self.mix = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.out = nn.Conv2d(HIDDEN, outputs, 3, padding=1)

    def forward(self, shared: Tensor, hints: Tensor, step: int) -> Tensor:
        plane = torch.full_like(hints[:, :1], step / STEP_UNIT)
        hints = torch.cat([hints, plane], dim=1).contiguous(memory_format=torch.channels_last)
        y = F.relu(shared + self.hint(hints))
        y = y + F.relu(self.mix(y))
        return self.out(y).float()


class StepPixelHead(nn.Module):
    """Pixels of the wanted steps in one pass, from d_1, the last frame and k."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = StepTrunk(channels, 3, 3)

    def forward(self, d: Tensor, frames: Tensor, flows: Tensor | None, steps: Sequence[int]) -> tuple[Tensor, None]:
        shared = self.trunk.shared(d)
        return torch.stack([torch.sigmoid(self.trunk(shared, frames[:, -1], k)) for k in steps], dim=1), None


class WarpHead(nn.Module):
    """Backward flow, mask and synthesised pixels; untrained it returns the motion prior's forecast unchanged.

    velocity v = prior + correction(d_1); paths P_k follow v for k steps; for each k a further correction D_k, a mask m_k
    and colours c_k are predicted, and the frame is x_k = W_k + (1 - m_k) c_k with W_k the last frame sampled
    bicubically at p + P_k(p) + D_k(p): the mask says where the warped pixel stands, elsewhere the synthesised change c_k
    is added. They are predicted from d_1, P_k, and, sampled along P_k, the last frame, the error that the prior made
    when it foretold the last frame from the one before, and the prior's change since then: where it failed a moment ago
    it is likely to fail again. Without a motion prior the prior is 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.velocity = nn.Conv2d(channels, 2, 3, padding=1)
        self.trunk = StepTrunk(channels, 3 + 3 + 2 + 2, 2 + 1 + 3)
        for conv in (self.velocity, self.trunk.out):
            nn.init.zeros_(conv.weight)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, d: Tensor, frames: Tensor, flows: Tensor | None, steps: Sequence[int]) -> tuple[Tensor, Tensor]:
        """``frames`` and ``flows`` (B, T, ...) end with the newest frame; the last two of each are used."""
        before, last = frames[:, -2], frames[:, -1]
        if flows is None:
            flows = frames.new_zeros(len(frames), 2, 2, *frames.shape[-2:])
        prior_before, prior = flows[:, -2], flows[:, -1]
        evidence = torch.cat([last, last - warp(before, prior_before, mode="bilinear"), (prior - prior_before) / FLOW_UNIT], 1)
        paths = extrapolate(prior + FLOW_UNIT * self.velocity(d).float(), max(steps))
        shared = self.trunk.shared(d)
        futures, motions = [], []
        for k in steps:
            path = paths[k - 1]
            hints = torch.cat([warp(evidence, path, mode="bilinear"), path / (4 * FLOW_UNIT)], dim=1)
            correction, mask, colour = self.trunk(shared, hints, k).split([2, 1, 3], dim=1)
            motion = path + FLOW_UNIT * correction
            futures.append(warp(last, motion) + torch.sigmoid(-mask) * colour)
            motions.append(motion)
        return torch.stack(futures, dim=1), torch.stack(motions, dim=1)
