"""The pixel generator of HVP (Lee 2021, section 2.2): label maps become frames, one at a time, each from the frames before it.

The paper takes the generator of vid2vid (Wang 2018) with its default settings, at one spatial scale. Our reading of it:

- Two encoders of equal form, one for the structures s_{t-tau..t} and one for the frames x_{t-tau..t-1}: a 7x7 convolution,
  ``downsamplings`` 3x3 convolutions of stride 2 that double the channels, then the first half of the residual blocks. Their
  sum is the state that two branches go on from, each with the other half of the residual blocks and as many transposed 3x3
  convolutions back to full size.
- One branch ends in the hallucinated frame h (tanh). The other ends in the flow w (in units of 20 pixels) and the occlusion mask m
  (sigmoid). Equation 3: x_t = (1 - m) * warp(x_{t-1}, w) + m * h, with bilinear sampling.
- Batch norm and ReLU after every convolution but those of the heads; reflection padding; weights from N(0, 0.02).

We depart in three small things: the convolution of the flow head starts at zero, so that an untrained network copies
instead of scattering the last frame; frames are RGB in [0, 1] outside and [-1, 1] inside; vid2vid's extra branch for
foreground objects, its coarse-to-fine pyramid for large frames and its generator of first frames are left out, since
label maps here are at most 256x512 and the context gives the first frames.

Ours is the motion prior ("dis"), three guesses of the flow by classical optical flow of frames and label maps (``motion.NextFlows``).
Each goes into the frames' encoder with the newest frame moved along it and with the share of each pixel's class that the newest
label map, moved along it, has in common with the next one. A fourth head weighs the three (softmax; its convolution starts at zero:
their mean), the flow head corrects that, and the mask starts nearly closed. An untrained network so shows the last frame moved
on. Frames are then sampled bicubically: bilinear sampling blurs anew in each step. Where all three say that nothing moves, nothing
does, and below a pixel of motion correction and mask count in proportion: on a car that stands, what a network has learnt against
the blur of each step would add up to noise.

365 M parameters at width 1.0 and 23 M at 0.25 (tau 4, 3 downsamplings, 9 blocks).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidpred_ros.networks.config import PixelsConfig
from vidpred_ros.networks.warping import warp

#: Channels of the first layer at width 1.0.
FIRST = 128
#: Pixels that a unit of the flow head's output stands for.
FLOW_UNIT = 20.0
#: The mask's logit before training with a motion prior.
CLOSED = -2.0
#: Flows of a motion prior.
FLOWS = 3
#: Channels that go in for each of them: itself, the newest frame moved along it, and how far its labels fit.
GUESS = 2 + 3 + 1


class PixelStep(NamedTuple):
    """One generated frame and what it is made of, all float32."""

    frame: Tensor  # (B, 3, H, W) RGB in [0, 1]: equation 3
    warped: Tensor  # (B, 3, H, W): the frame before, moved by the flow
    hallucinated: Tensor  # (B, 3, H, W) in [0, 1]
    mask: Tensor  # (B, 1, H, W) in [0, 1]: 1 where the hallucinated frame is taken
    flow: Tensor  # (B, 2, H, W) pixels (x, y): the frame before, at p + flow(p), shows what this frame shows at p


class ResidualBlock(nn.Module):
    """x + f(x), f of two 3x3 convolutions with batch norm; no ReLU after the sum. (B, C, H, W), same size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _encoder(inputs: int, first: int, downsamplings: int, blocks: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, first, 7), nn.BatchNorm2d(first), nn.ReLU()]
    for i in range(downsamplings):
        below, above = first * 2**i, first * 2 ** (i + 1)
        layers += [nn.Conv2d(below, above, 3, stride=2, padding=1), nn.BatchNorm2d(above), nn.ReLU()]
    return nn.Sequential(*layers, *(ResidualBlock(first * 2**downsamplings) for _ in range(blocks)))


def _decoder(first: int, downsamplings: int, blocks: int) -> nn.Sequential:
    layers: list[nn.Module] = [ResidualBlock(first * 2**downsamplings) for _ in range(blocks)]
    for i in reversed(range(downsamplings)):
        below, above = first * 2**i, first * 2 ** (i + 1)
        layers.append(nn.ConvTranspose2d(above, below, 3, stride=2, padding=1, output_padding=1))
        layers += [nn.BatchNorm2d(below), nn.ReLU()]
    return nn.Sequential(*layers)


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(inputs, outputs, 7))


class PixelGenerator(nn.Module):
    """F: past frames (B, tau, 3, H, W) in [0, 1], the oldest first, and structures (B, tau + 1, C[+1], H, W) -> PixelStep.

    ``structures`` are one-hot label maps of the past frames and of the frame to be made, each with its boundary map in a last
    channel if ``config.edges``. With a motion prior also the flows (B, 3, 2, H, W) in pixels of ``motion.NextFlows``.
    Raises ValueError for other counts and for sides that the downsamplings do not divide.
    """

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__()
        self.config = config
        first = max(4, round(FIRST * config.width))
        self.channels = config.classes + config.edges
        early, late = config.blocks - config.blocks // 2, config.blocks // 2
        self.structures = _encoder((config.past + 1) * self.channels, first, config.downsamplings, early)
        self.prior = config.motion_prior == "dis"
        self.frames = _encoder(config.past * 3 + FLOWS * GUESS * self.prior, first, config.downsamplings, early)
        self.hallucinate = _decoder(first, config.downsamplings, late)
        self.move = _decoder(first, config.downsamplings, late)
        self.colours, self.flow, self.mask = _head(first, 3), _head(first, 2), _head(first, 1)
        self.apply(_initialise)
        nn.init.zeros_(self.flow[-1].weight)  # type: ignore[arg-type]
        if self.prior:
            nn.init.constant_(self.mask[-1].bias, CLOSED)  # type: ignore[arg-type]
            self.weigh = _head(first, FLOWS)
            nn.init.zeros_(self.weigh[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.weigh[-1].bias)  # type: ignore[arg-type]

    def forward(self, past: Tensor, structures: Tensor, prior: Tensor | None = None) -> PixelStep:
        self._check(past, structures, prior)
        seen = 2 * past.flatten(1, 2) - 1
        if prior is not None:
            seen = torch.cat([seen, *self._guesses(past[:, -1], structures[:, -2:, : self.config.classes], prior)], dim=1)
        state = self.structures(_channels_last(structures.flatten(1, 2))) + self.frames(_channels_last(seen))
        hallucinated = (torch.tanh(self.colours(self.hallucinate(state)).float()) + 1) / 2
        moving = self.move(state)
        flow = FLOW_UNIT * self.flow(moving).float()
        mask = torch.sigmoid(self.mask(moving).float())
        if prior is not None:
            weights = torch.softmax(self.weigh(moving).float(), dim=1)
            moves = prior.abs().amax((1, 2)).clamp(max=1).unsqueeze(1)
            flow, mask = moves * flow + (weights.unsqueeze(2) * prior).sum(1), moves * mask
        warped = warp(past[:, -1], flow, "bilinear" if prior is None else "bicubic").clamp(0, 1)
        return PixelStep(blend(warped, hallucinated, mask), warped, hallucinated, mask, flow)

    def _guesses(self, newest: Tensor, labels: Tensor, prior: Tensor) -> list[Tensor]:
        """What each flow of a prior makes of the newest frame and of its one-hot labels: FLOWS * GUESS channels."""
        made = []
        for flow in prior.unbind(1):
            kept = (warp(labels[:, 0], flow, "bilinear") * labels[:, 1]).sum(1, keepdim=True)
            made += [flow / FLOW_UNIT, 2 * warp(newest, flow, "bicubic") - 1, kept]
        return made

    def _check(self, past: Tensor, structures: Tensor, prior: Tensor | None) -> None:
        config, (height, width) = self.config, past.shape[-2:]
        least = 2**config.downsamplings
        if height % least or width % least or min(height, width) < 2 * least:
            raise ValueError(f"frames of {height}x{width}: sides must be multiples of {least}, at least {2 * least}")
        wanted = (config.past + 1, self.channels, height, width)
        if past.shape[1:3] != (config.past, 3) or structures.shape[1:] != wanted:
            raise ValueError(
                f"expected {config.past} past frames and structures {wanted}, got {tuple(past.shape[1:])} and "
                f"{tuple(structures.shape[1:])}"
            )
        if self.prior != (prior is not None) or (prior is not None and prior.shape[1:] != (FLOWS, 2, height, width)):
            flows = f"flows ({FLOWS}, 2, {height}, {width})" if self.prior else "no flows"
            raise ValueError(f"expected {flows} as motion prior, got {None if prior is None else tuple(prior.shape[1:])}")


def blend(warped: Tensor, hallucinated: Tensor, mask: Tensor) -> Tensor:
    """Equation 3: (1 - m) * warped + m * hallucinated."""
    return (1 - mask) * warped + mask * hallucinated


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Label maps (..., H, W) of integers to (..., classes, H, W) float32; ids that are no class (ignore) are all zeros."""
    ids = torch.arange(classes, device=labels.device, dtype=torch.int32)
    return (labels.to(torch.int32).unsqueeze(-3) == ids[:, None, None]).float()


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _initialise(module: nn.Module) -> None:
    """As vid2vid starts: convolutions from N(0, 0.02) without bias, batch norm's gains from N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
