"""Convolutions of a torch graph on a CPU by oneDNN, all of them.

Left to itself torch (aten's ConvParams::use_mkldnn) computes a float32 convolution of a single picture of 20480 values or fewer with
loops of its own, which are slower, and every layer of a streamed pass sees a single picture. The numbers are the same but for the
order of their sums.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class OnednnConv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        padding = cast(tuple[int, int], self.padding)
        return torch.mkldnn_convolution(input, self.weight, self.bias, padding, self.stride, self.dilation, self.groups)


def by_onednn(graph: nn.Module) -> None:
    """Change the convolutions of a graph, in place, where torch was built with oneDNN. Their channels stand last, as those of pictures
    and states do, so that nothing is laid out anew. Those of three dimensions lay it out the other way: a graph that has them (the
    paper form) is left as it is."""
    if not torch.backends.mkldnn.is_available() or any(isinstance(layer, nn.Conv3d) for layer in graph.modules()):
        return
    for layer in graph.modules():
        if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
            layer.__class__ = OnednnConv2d
