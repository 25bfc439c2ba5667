"""The tree form in two dimensions, as engines run it. Imports torch.

Its temporal kernels are 1, which is the same convolution for each frame, and 2, which is one over the channels of a pair of
frames. So nothing needs a third dimension, and every runtime is best at two: same numbers, weights under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vidpred_ros.networks.heads import JOLTS, jolt
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual, Residual3d


class FlatTree(HierarchicalResidual):
    """A tree whose batch norms are folded; takes over the network's layers, which is of no use afterwards.

    The states of ``step`` have their channels last, (B, H, W, C), where convolutions of most runtimes leave them, so that
    nothing is laid out anew between one frame and the next.
    """

    def __init__(self, network: HierarchicalResidual) -> None:
        nn.Module.__init__(self)  # the layers are there already
        self.config = network.config
        self.bottom_up, self.lateral = network.bottom_up, network.lateral
        self.top_down, self.head = network.top_down, network.head
        for block in [*self.bottom_up, *(one for level in self.lateral for one in cast(nn.ModuleList, level))]:
            assert isinstance(block, Residual3d)
            for name in ("conv1", "conv2", "skip"):
                setattr(block, name, _flat(getattr(block, name)))

    def _states(self, frames: Tensor, flows: Tensor | None) -> list[Tensor]:
        u = self._inputs(frames, flows).flatten(0, 1)
        states = []
        for bottom_up, laterals in zip(self.bottom_up, self.lateral, strict=True):
            u = bottom_up(u)
            s = u
            for lateral in cast(nn.ModuleList, laterals):
                s = lateral(torch.cat([s[0::2], s[1::2]], dim=1))
            states.append(s)
        return states

    def step(
        self, frames: Tensor, flows: Tensor | None, past: Mapping[str, Tensor], steps: Sequence[int]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        u = self._inputs(frames[:, -1:], None if flows is None else flows[:, -1:])[:, 0]
        kept: dict[str, Tensor] = {}
        states = []
        for level, (bottom_up, laterals) in enumerate(zip(self.bottom_up, self.lateral, strict=True)):
            u = bottom_up(u)
            now = u
            for i, lateral in enumerate(cast(nn.ModuleList, laterals)):
                name = f"state_{level}_{i}"
                kept[name] = now.permute(0, 2, 3, 1)
                now = lateral(torch.cat([past[name].permute(0, 3, 1, 2), now], dim=1))
            states.append(now)
        jolts = None
        if self.config.sway:
            assert flows is not None
            newest = jolt(flows[:, -2], flows[:, -1])[:, None]
            jolts = torch.cat([newest, past["jolts"].flatten(1).unflatten(1, (JOLTS - 1, 2))], dim=1)
            kept["jolts"] = jolts[:, :-1].flatten(1)[:, None, None]
        return self._decode(states, frames, flows, steps, jolts)[0], kept

    def state_shapes(self, size: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
        """(H, W, C) of each tensor that ``step`` takes and returns."""
        return {name: (height, width, c) for name, (c, height, width) in super().state_shapes(size).items()}


def _flat(conv: nn.Conv3d) -> nn.Conv2d:
    """The convolution of one frame, or of the channels of two."""
    assert conv.kernel_size[0] <= 2, "only a tree is flat"
    weight = torch.cat(list(conv.weight.unbind(2)), dim=1)
    outputs, inputs = weight.shape[:2]
    size, stride, padding = ((pair[1], pair[2]) for pair in (conv.kernel_size, conv.stride, cast(tuple[int, ...], conv.padding)))
    flat = nn.Conv2d(inputs, outputs, size, stride, padding, bias=conv.bias is not None, device="meta")
    flat.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if conv.bias is not None:
        flat.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return flat
