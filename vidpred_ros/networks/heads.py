"""From the top-down output d_1 (B, C, H, W) to future frames (B, K, 3, H, W) and, for a warp, the flow of each.

``PixelHead`` is the paper's: "a convolutional layer and sigmoid function". The other two are ours: they predict K steps
in one pass, each conditioned on its k, from the real last frame (rollout ``direct``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.config import STEADY_FLOWS
from vidpred_ros.networks.warping import follow, warp

#: Channels of the step heads; enough for flow, mask and colours at full size, and cheap.
HIDDEN = 32
#: A unit of the flow outputs, in pixels: a first guess is a few pixels off, not a fraction of one.
FLOW_UNIT = 4.0
#: k enters as k / STEP_UNIT.
STEP_UNIT = 5.0


#: Mean flow (pixels per frame) between which the gate opens: of the whole scene, and of 40x40 pixels around a place.
#: Sensor noise alone gives up to 0.25 and 0.6; slow driving 0.8 and more (measured on still and on driving sequences).
SCENE_GATE, LOCAL_GATE = (0.25, 0.75), (0.75, 1.5)


def motion_gate(flows: Tensor) -> Tensor:
    """How far things move, from 0 (nothing does) to 1: flows (B, T, 2, H, W) in pixels -> (B, 1, H, W).

    Open where the scene as a whole moves, or where something large enough does; closed on what sensor noise looks like.
    """
    size = flows.norm(dim=2).amax(dim=1, keepdim=True)
    blocks = F.avg_pool2d(F.avg_pool2d(size, 8), 5, stride=1, padding=2, count_include_pad=False)
    local = F.interpolate(blocks, size.shape[-2:], mode="bilinear", align_corners=False)
    scene = size.mean(dim=(2, 3), keepdim=True)
    return torch.maximum(_ramp(local, *LOCAL_GATE), _ramp(scene, *SCENE_GATE))


def _ramp(x: Tensor, low: float, high: float) -> Tensor:
    return ((x - low) / (high - low)).clamp(0, 1)


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


#: Changes of the camera's motion that ``Sway`` sees: those of a window, whose first flow may be unknown.
JOLTS = 6


def jolt(before: Tensor, now: Tensor) -> Tensor:
    """How the camera's motion changed between two flows (B, 2, H, W): the median over 8x8 blocks, (B, 2) in pixels.

    A rotation of the camera moves all pixels alike; a median does not see what moves by itself, nor the parallax of
    what is near.
    """
    change = F.avg_pool2d(now - before, 8).flatten(2)
    return change.topk(change.shape[2] // 2 + 1, dim=2).values[..., -1]


class Sway(nn.Module):
    """Where the camera will have turned to, beyond its present turning, from the last ``JOLTS`` changes of its motion.

    A car's body rocks on its springs at one to two Hz, so that much of what looks like a random jolt to the next frame
    follows from the jolts before: a linear regression on six of them, fitted to three KITTI sequences, foretold about 70 % of
    the variance of a fourth's vertical shift, one to five frames ahead. Here a linear map and a small network do, both zero at first
    and fitted by regression (``training/sway.py``); no gradient comes from the images.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * JOLTS, 2 * steps, bias=False)
        self.hidden = nn.Linear(2 * JOLTS, HIDDEN)
        self.out = nn.Linear(HIDDEN, 2 * steps)
        for layer in (self.linear, self.out):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, jolts: Tensor) -> Tensor:
        """(B, JOLTS, 2), newest first, in pixels -> shifts (B, steps, 2) in pixels: those of step k at index k - 1."""
        with torch.autocast(jolts.device.type, enabled=False):
            x = jolts.float().flatten(1)
            y = FLOW_UNIT * (self.linear(x) + self.out(torch.tanh(self.hidden(x))))
        return y.unflatten(1, (-1, 2))


#: With ``steady``, what is left after a step of how a velocity differs from its mean; chosen for steps of about 0.1 s.
PERSISTENCE = 0.8


class WarpHead(nn.Module):
    """Backward flow, mask and synthesised pixels; untrained it returns the motion prior's forecast unchanged.

    velocity v = prior + correction(d_1); paths P_k follow v for k steps; for each k a further correction D_k, a mask m_k
    and colours c_k are predicted, and the frame is x_k = W_k + (1 - m_k) c_k with W_k the last frame sampled
    bicubically at p + P_k(p) + D_k(p): the mask says where the warped pixel stands, elsewhere the synthesised change c_k
    is added. They are predicted from d_1, P_k, and, sampled along P_k, the last frame, the error that the prior made
    when it foretold the last frame from the one before, and the prior's change since then: where it failed a moment ago
    it is likely to fail again. Without a motion prior the prior is 0; with one, all of this fades out where nothing
    moves (``motion_gate``), so that a scene that stands still is foretold as it is. With ``sway`` the paths are shifted
    by where the camera is going to turn, and the corrections have no mean.

    The flow of a single pair of frames is noisy, and what was different in the last tenth of a second, a jolt or a wrong match,
    does not last: with ``steady`` the velocity of step k is vbar + PERSISTENCE**k (v - vbar), vbar the mean of the newest
    ``STEADY_FLOWS`` flows at the same place. It takes no training: a network that was trained without gains by it.
    """

    def __init__(self, channels: int, gated: bool, sway: int = 0, steady: bool = False) -> None:
        super().__init__()
        self.gated = gated  # a classical flow tells what moves
        self.steady = steady
        self.sway = Sway(sway) if sway else None  # for this many steps
        self.velocity = nn.Conv2d(channels, 2, 3, padding=1)
        self.trunk = StepTrunk(channels, 3 + 3 + 2 + 2, 2 + 1 + 3)
        for conv in (self.velocity, self.trunk.out):
            nn.init.zeros_(conv.weight)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(
        self, d: Tensor, frames: Tensor, flows: Tensor | None, steps: Sequence[int], jolts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``frames`` and ``flows`` (B, T, ...) end with the newest frame; the last two frames are used, and the last two or
        ``STEADY_FLOWS`` flows."""
        before, last = frames[:, -2], frames[:, -1]
        if flows is None:
            flows = frames.new_zeros(len(frames), 2, 2, *frames.shape[-2:])
        prior_before, prior = flows[:, -2], flows[:, -1]
        evidence = torch.cat([last, last - warp(before, prior_before, mode="bilinear"), (prior - prior_before) / FLOW_UNIT], 1)
        gate = motion_gate(flows[:, -2:]) if self.gated else torch.ones_like(prior[:, :1])
        velocity, kept = prior + FLOW_UNIT * self._local(self.velocity(d).float()), self._kept(max(steps))
        if self.steady:
            mean = flows[:, -STEADY_FLOWS:].mean(dim=1)
            paths = follow([gate * (mean + share * (velocity - mean)) for share in kept])
        else:
            paths = follow([gate * velocity] * len(kept))
        if self.sway is not None:
            shifts = self.sway(jolts).detach()  # learnt by regression: images would teach it what clips look like
            # a shift is one from where the last velocity would lead: it counts as far as that does
            paths = [path + sum(kept[:k]) / k * gate * shifts[:, k - 1, :, None, None] for k, path in enumerate(paths, start=1)]
        shared = self.trunk.shared(d)
        futures, motions = [], []
        for k in steps:
            path = paths[k - 1]
            hints = torch.cat([warp(evidence, path, mode="bilinear"), path / (4 * FLOW_UNIT)], dim=1)
            correction, mask, colour = self.trunk(shared, hints, k).split([2, 1, 3], dim=1)
            motion = path + gate * FLOW_UNIT * self._local(correction)
            futures.append(warp(last, motion) + gate * torch.sigmoid(-mask) * colour)
            motions.append(motion)
        return torch.stack(futures, dim=1), torch.stack(motions, dim=1)

    def _kept(self, steps: int) -> list[float]:
        """The share of the last velocity in that of each step."""
        return [PERSISTENCE**k if self.steady else 1.0 for k in range(1, steps + 1)]

    def _local(self, flow: Tensor) -> Tensor:
        """With ``sway``, a correction without its mean: what all pixels do is not for convolutions to say.

        They would learn it by heart, clip by clip, and guess wrongly elsewhere.
        """
        return flow if self.sway is None else flow - flow.mean(dim=(2, 3), keepdim=True)
