"""The hierarchical residual generator of Shouno 2020 (arXiv:2004.04716), section 3.2, and our forms beside it.

Four modules. Module l computes u_l = BU_l(u_{l-1}) at half the size of its input (eq. 7), three lateral blocks reduce
8 frames to one state, s_l = [LAT_l,3(LAT_l,2(LAT_l,1(u_l))), d_{l+1}] (eq. 8), and two top-down blocks give
d_l = TD_l,2(TD_l,1(s_l)) at twice the size (eq. 9). d_1 has the size of the frames; a head turns it into pixels.

The text that we have does not show Figure 2 with the blocks' details. Our reading: a bottom-up block is a convolution
(kt, 3)-(1, 2), then one (kt, 3)-(1, 1), beside a 1x1 skip of stride 2; a lateral block is the same with stride 2 in
time and 1 in space; TD_l,1 is a residual block of two 3x3 convolutions, TD_l,2 a 3x3 convolution and a pixel shuffle
by 2; batch norm after each convolution, ReLU last. Temporal kernels: form ``paper`` kt = 3 (padding 1), form ``tree``
kt = 1 bottom-up and a pair of frames (kernel 2, stride 2, no padding) laterally. Dropout is the paper's noise z; we draw
it while training only, so that a forecast is reproducible (the paper does not say what it does at test time).

In the tree form LAT_1 at time t sees frames (t-1, t), LAT_2 the LAT_1 outputs of (t-2, t), LAT_3 the LAT_2 outputs of
(t-4, t): nothing depends on where the window began, so ``step`` reuses what earlier frames left behind and gives the
same numbers as ``forward`` on the whole window.

Ours, beside the paper: the ``warp`` head, the ``dis`` motion prior and the ``direct`` rollout (see ``heads.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.config import WINDOW, HierarchicalConfig
from vidpred_ros.networks.heads import JOLTS, PixelHead, StepPixelHead, WarpHead, jolt

#: Flow enters the network divided by this many pixels, so that it is of the order of the colours.
FLOW_SCALE = 16.0
#: Each lateral block pairs a frame with the one this many frames before it.
DELAYS = (1, 2, 4)


class PaddedInTime(nn.Conv3d):
    """A 3-D convolution that lays out the zeros before and after two frames by itself.

    oneDNN's weight gradient in bfloat16 (torch 2.13 on a CPU) is garbage, up to inf, for exactly two frames under a
    temporal kernel of 3 with padding 1 and stride 1; four frames without padding are the same sum and are right.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and x.shape[2] == 2 and self.kernel_size[0] == 3 and self.stride[0] == 1):
            return super().forward(x)
        x = F.pad(x, (0, 0, 0, 0, 1, 1))
        return F.conv3d(x, self.weight, self.bias, self.stride, (0, *self.padding[1:]))


class Residual3d(nn.Module):
    """relu(BN(conv) of relu(BN(conv(x))) + BN(skip(x))), with ``stride`` and ``kernel`` given as (time, space)."""

    def __init__(self, inputs: int, outputs: int, kernel_t: int, stride: tuple[int, int]) -> None:
        super().__init__()
        # a pair (kernel 2) halves time without padding; kernel 3 pads by one frame, kernel 1 by none
        pad_t = 1 if kernel_t == 3 else 0
        strides, second_t = (stride[0], stride[1], stride[1]), 1 if kernel_t == 2 else kernel_t
        self.conv1 = nn.Conv3d(inputs, outputs, (kernel_t, 3, 3), strides, (pad_t, 1, 1), bias=False)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.conv2 = PaddedInTime(outputs, outputs, (second_t, 3, 3), 1, (second_t // 2, 1, 1), bias=False)
        self.bn2 = nn.BatchNorm3d(outputs)
        skip_t = 2 if kernel_t == 2 else 1
        self.skip = nn.Conv3d(inputs, outputs, (skip_t, 1, 1), strides, bias=False)
        self.bn_skip = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.bn_skip(self.skip(x)))


class TopDown(nn.Module):
    """TD_1: residual 3x3 block with dropout noise before the ReLU; TD_2: 3x3 convolution and pixel shuffle by 2."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.skip = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.bn_skip = nn.BatchNorm2d(hidden)
        self.up = nn.Conv2d(hidden, 4 * outputs, 3, padding=1, bias=False)
        self.bn_up = nn.BatchNorm2d(4 * outputs)
        self.noise = nn.Dropout(dropout)

    def forward(self, s: Tensor) -> Tensor:
        y = F.relu(self.noise(self.bn1(self.conv1(s))))
        y = F.relu(self.noise(self.bn2(self.conv2(y)) + self.bn_skip(self.skip(s))))
        y = F.relu(self.noise(self.bn_up(self.up(y))))  # before the shuffle: engines compute it with the convolution
        return F.pixel_shuffle(y, 2)


class HierarchicalResidual(nn.Module):
    """Generator G. Frames are RGB in [0, 1]; height and width are multiples of 16.

    ``forward(frames, flows, steps)``: frames (B, 8, 3, H, W), flows (B, 8, 2, H, W) or None -> (B, K, 3, H, W), where
    ``steps`` names the K future frames that are wanted, 1 being the next (a recursion gives 1..K and nothing else).
    Flow t is the backward flow, in pixels, from frame t to the frame before it; 0 where there is no frame before.
    Parameters with the warp head and the motion prior: paper form 85.6 M, tree form 49.0 M, tree form at width 0.25 3.1 M.
    """

    def __init__(self, config: HierarchicalConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        inputs = 3 + (2 if config.motion_prior == "dis" else 0)
        tree = config.form == "tree"
        self.bottom_up = nn.ModuleList()
        self.lateral = nn.ModuleList()
        self.top_down = nn.ModuleList()
        for level, width in enumerate(channels):
            below = channels[level - 1] if level else inputs
            self.bottom_up.append(Residual3d(below, width, 1 if tree else 3, (1, 2)))
            self.lateral.append(nn.ModuleList(Residual3d(width, width, 2 if tree else 3, (2, 1)) for _ in DELAYS))
            top = level == len(channels) - 1
            dropout = config.dropout if level >= 2 else 0.0  # the upper two modules
            down = channels[level - 1] if level else width  # d_1 keeps the width of module 1
            self.top_down.append(TopDown(width if top else 2 * width, width, down, dropout))
        if config.head == "warp":
            sway = config.max_steps if config.sway else 0
            self.head: nn.Module = WarpHead(channels[0], config.motion_prior == "dis", sway, config.steady)
        else:
            self.head = StepPixelHead(channels[0]) if config.rollout == "direct" else PixelHead(channels[0])

    # whole window ---------------------------------------------------------------------------------------------------

    def forward(
        self, frames: Tensor, flows: Tensor | None, steps: Sequence[int], noise: Tensor | None = None
    ) -> Tensor:
        """Predict the wanted frames after the window: (B, K, 3, H, W), not clamped while training; no noise is used."""
        self._check(frames, steps)
        if self.config.rollout == "direct":
            return self._decode(self._states(frames, flows), frames, flows, steps, self._jolts(flows))[0]
        futures = []
        for _ in steps:
            predicted, motion = self._decode(self._states(frames, flows), frames, flows, (1,))
            futures.append(predicted)
            frames = torch.cat([frames[:, 1:], predicted], dim=1)
            if flows is not None and motion is not None:
                flows = torch.cat([flows[:, 1:], motion], dim=1)
        return torch.cat(futures, dim=1)

    def motions(self, frames: Tensor, flows: Tensor | None, steps: Sequence[int]) -> Tensor:
        """Where the wanted frames' pixels are taken from: (B, K, 2, H, W) pixels, last frame sampled at p + motion(p).

        For a warp head with direct rollout.
        """
        self._check(frames, steps)
        motion = self._decode(self._states(frames, flows), frames, flows, steps, self._jolts(flows))[1]
        assert motion is not None and self.config.rollout == "direct", "this network foretells no motion"
        return motion

    def _states(self, frames: Tensor, flows: Tensor | None) -> list[Tensor]:
        u = self._inputs(frames, flows).transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        states = []
        for bottom_up, laterals in zip(self.bottom_up, self.lateral, strict=True):
            u = bottom_up(u)
            s = u
            for lateral in cast(nn.ModuleList, laterals):
                s = lateral(s)
            states.append(s.squeeze(2))
        return states

    # one frame at a time --------------------------------------------------------------------------------------------

    def step(
        self, frames: Tensor, flows: Tensor | None, past: Mapping[str, Tensor], steps: Sequence[int]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Tree form, direct rollout: take one new frame, predict the frames ``steps``, return what to keep.

        ``frames`` (B, 2, 3, H, W) are the frame before and the new one, ``flows`` (B, ``config.flows_decoded``, 2, H, W) the
        newest flows, the new frame's last.
        ``past[name]`` is the tensor that an earlier call returned under ``name``, ``state_delays()[name]`` frames ago.
        """
        x = self._inputs(frames[:, -1:], None if flows is None else flows[:, -1:]).transpose(1, 2)
        kept: dict[str, Tensor] = {}
        states = []
        for level, (bottom_up, laterals) in enumerate(zip(self.bottom_up, self.lateral, strict=True)):
            x = bottom_up(x)
            now = x
            for i, lateral in enumerate(cast(nn.ModuleList, laterals)):
                name = f"state_{level}_{i}"
                kept[name] = now.squeeze(2)
                now = lateral(torch.cat([past[name].unsqueeze(2), now], dim=2))
            states.append(now.squeeze(2))
        jolts = None
        if self.config.sway:
            assert flows is not None
            now = jolt(flows[:, -2], flows[:, -1])[:, None]
            jolts = torch.cat([now, past["jolts"].flatten(1).unflatten(1, (JOLTS - 1, 2))], dim=1)
            kept["jolts"] = jolts[:, :-1].flatten(1)[..., None, None]
        return self._decode(states, frames, flows, steps, jolts)[0], kept

    def state_shapes(self, size: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
        """(C, H, W) of each tensor that ``step`` takes and returns, for frames of ``size`` = (height, width)."""
        shapes = {
            f"state_{level}_{i}": (width, size[0] >> (level + 1), size[1] >> (level + 1))
            for level, width in enumerate(self.config.channels)
            for i in range(len(DELAYS))
        }
        return shapes | ({"jolts": (2 * (JOLTS - 1), 1, 1)} if self.config.sway else {})

    def state_delays(self) -> dict[str, int]:
        """After how many frames each returned tensor of ``step`` is wanted as its ``past``."""
        delays = {f"state_{lv}_{i}": d for lv in range(len(self.config.channels)) for i, d in enumerate(DELAYS)}
        return delays | ({"jolts": 1} if self.config.sway else {})

    # common ---------------------------------------------------------------------------------------------------------

    def _inputs(self, frames: Tensor, flows: Tensor | None) -> Tensor:
        if self.config.motion_prior == "none":
            return frames
        assert flows is not None, "this network was made with a motion prior: flows are needed"
        return torch.cat([frames, flows / FLOW_SCALE], dim=2)

    def _jolts(self, flows: Tensor | None) -> Tensor | None:
        """The changes of the camera's motion in a window, newest first: (B, JOLTS, 2) pixels."""
        if not self.config.sway:
            return None
        assert flows is not None
        return torch.stack([jolt(flows[:, t - 1], flows[:, t]) for t in range(WINDOW - 1, 1, -1)], dim=1)

    def _decode(
        self,
        states: list[Tensor],
        frames: Tensor,
        flows: Tensor | None,
        steps: Sequence[int],
        jolts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        d: Tensor | None = None
        for state, top_down in zip(reversed(states), reversed(self.top_down), strict=True):
            d = top_down(state if d is None else torch.cat([state, d], dim=1))
        if jolts is None:
            futures, motion = self.head(d, frames, flows, steps)
        else:
            futures, motion = self.head(d, frames, flows, steps, jolts)
        return (futures if self.training else futures.clamp(0, 1)), motion

    def _check(self, frames: Tensor, steps: Sequence[int]) -> None:
        _, count, _, height, width = frames.shape
        if count != WINDOW or height % 16 or width % 16:
            raise ValueError(f"expected {WINDOW} frames with sides that 16 divides, got {count} of {height}x{width}")
        if not all(1 <= k <= self.config.max_steps for k in steps):
            raise ValueError(f"steps must lie in 1..{self.config.max_steps}, got {list(steps)}")
        if self.config.rollout == "recursive" and list(steps) != list(range(1, len(steps) + 1)):
            raise ValueError(f"a recursion predicts steps 1, 2, ... K, got {list(steps)}")
