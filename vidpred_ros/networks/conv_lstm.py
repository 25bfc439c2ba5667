"""A convolutional LSTM, and first values of the convolutions around it with which what differs between maps comes through.

With torch's own, and those of He 2015, it fades: behind ReLUs the mean of all maps outgrows what differs between them, and an
LSTM at rest passes on a tenth. Two unlike maps then had means of z that differ by 0.0003, beside z's deviation of 1, and z moved
the logits by a thousandth of their size: the predictor learns that z is noise, whatever beta is, and z is lost for good.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Keeps the size of what differs in layers of ReLUs, once filters have no mean: sqrt(2 / (1 - 1 / pi)).
GAIN = 1.7
#: For a convolution that hears an LSTM.
AFTER_LSTM = 4 * GAIN


@torch.no_grad()
def first_values(conv: nn.Conv2d, gain: float = GAIN) -> nn.Conv2d:
    """Normal weights of deviation gain / sqrt(inputs), each filter less its mean, and biases of 0; returns ``conv``."""
    weight = nn.init.normal_(conv.weight, std=gain / conv.weight[0].numel() ** 0.5)
    weight -= weight.mean(dim=(1, 2, 3), keepdim=True)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class ConvLstm(nn.Module):
    """A cell of a convolutional LSTM (Shi 2015, 3x3, no peepholes): x, h, c -> h, c; states in float32."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = first_values(nn.Conv2d(inputs + hidden, 4 * hidden, 3, padding=1))
        nn.init.ones_(self.gates.bias[hidden : 2 * hidden])  # type: ignore[index]

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o, new = self.gates(torch.cat([x, h.to(x.dtype)], dim=1)).float().chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(new)
        return torch.sigmoid(o) * torch.tanh(c), c
