"""Stochastic video generation: SVG-FP and SVG-LP of Denton and Fergus 2018 (arXiv:1802.07687).

SVG-PL of Lee 2021 is SVG-LP trained with another loss (``training/losses/variational.py``).

A frame x_t is encoded into a vector h_t and the feature maps before each pooling (skips). Three recurrent modules (the
names are Lee's) share the encoder: the inference module gives the posterior q(z_t | x_1..t), the prior module
p(z_t | x_1..t-1), or N(0, 1) where the prior is fixed, and the prediction module makes g_t from h_t-1 and z_t; the
decoder makes x_t from g_t and the skips of the last true frame.

Encoder and decoder are the paper's VGG-like ones: 2, 2, 3, 3 convolutions (and 3 more after one more pooling at 128
pixels) of 64, 128, 256, 512 (512) channels, then one that spans what is left (4x4) and tanh; the decoder mirrors them
with nearest-neighbour upsampling. The predictor has two LSTM layers, the others one. We let the spanning kernel be 4x5
for 128x160, scale the convolutions' channels by ``width``, and leave out biases that a batch norm takes away again.

Where the text is silent or we differ:
- Over the context, at test time, the predictor hears the mean of the posterior (the published code draws it), so that
  a future depends on the window and its noise alone. The prior listens along.
- The posterior begins with x_1, as q(z_t | x_1..t) says; the published code begins with x_2.
- "The last true frame" is the window's newest one; the published code keeps the skips of the one before it.
- At test time batch norm uses its running statistics (the published code those of the test batch), so that a window's
  forecast does not depend on the others in its batch.

Parameters at 64x64 with 64 latents: 22.8 M (learned prior), 22.2 M (fixed); at 128x160 with 10: 39.8 M, at width
0.125 3.1 M.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.config import WINDOW, StochasticConfig

#: Convolutions and channels (at width 1.0) between poolings; any further pooling is like the last.
CONVOLUTIONS = (2, 2, 3, 3)
CHANNELS = (64, 128, 256, 512)

#: Mean and logarithm of the variance of diagonal Gaussians, each (..., Z) float32.
Gaussian = tuple[Tensor, Tensor]
#: (h, c) of each layer of an LSTM, each (B, hidden).
State = list[tuple[Tensor, Tensor]]


class Taught(NamedTuple):
    """What ``Stochastic.teach`` returns of a clip of T frames."""

    frames: Tensor  # those of 2..T that were wanted, (B, D, 3, H, W) in [0, 1]
    posterior: Gaussian  # of z_2..z_T, (B, T - 1, Z)
    prior: Gaussian


class Memory(NamedTuple):
    """All that a context leaves behind: where each module stands, and the newest frame as it was encoded."""

    code: Tensor  # (B, features)
    skips: list[Tensor]
    predictor: State
    prior: State | None

    def expand(self, count: int) -> Memory:
        """The memory of one window (B = 1), for ``count`` futures."""

        def many(x: Tensor) -> Tensor:
            return x.expand(count, *x.shape[1:])

        def both(state: State) -> State:
            return [(many(h), many(c)) for h, c in state]

        prior = None if self.prior is None else both(self.prior)
        return Memory(many(self.code), [many(s) for s in self.skips], both(self.predictor), prior)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, batch norm, leaky ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True))


def convolutions(*channels: int) -> nn.Sequential:
    return nn.Sequential(*(convolution(a, b) for a, b in pairwise(channels)))


class Encoder(nn.Module):
    """Frames (B, 3, H, W) -> codes (B, features) in [-1, 1] and the feature maps before each pooling."""

    def __init__(self, counts: list[int], channels: list[int], rest: tuple[int, int], features: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        inputs = 3
        for count, width in zip(counts, channels, strict=True):
            self.stages.append(convolutions(inputs, *[width] * count))
            inputs = width
        self.span = nn.Conv2d(inputs, features, rest, bias=False)
        self.norm = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for stage in self.stages:
            skips.append(stage(x))
            x = F.max_pool2d(skips[-1], 2)
        return torch.tanh(self.norm(self.span(x))).flatten(1).float(), skips


class Decoder(nn.Module):
    """Codes (B, features) and the skips of a frame -> frames (B, 3, H, W) in [0, 1]."""

    def __init__(self, counts: list[int], channels: list[int], rest: tuple[int, int], features: int) -> None:
        super().__init__()
        top = channels[-1]
        span = nn.ConvTranspose2d(features, top, rest, bias=False)
        self.span = nn.Sequential(span, nn.BatchNorm2d(top), nn.LeakyReLU(0.2, inplace=True))
        self.stages = nn.ModuleList()
        for i, (count, width) in reversed(list(enumerate(zip(counts, channels, strict=True)))):
            below = [channels[i - 1]] if i else []  # the last stage ends in pixels instead
            self.stages.append(convolutions(2 * width, *[width] * (count - 1), *below))
        self.pixels = nn.Conv2d(channels[0], 3, 3, padding=1)

    def forward(self, code: Tensor, skips: list[Tensor]) -> Tensor:
        x = self.span(code[:, :, None, None])
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return torch.sigmoid(self.pixels(x).float())


class Lstm(nn.Module):
    """A linear layer, then LSTM cells on top of each other, one step at a time: an exported graph has plain operators."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, hidden)
        self.cells = nn.ModuleList(nn.LSTMCell(hidden, hidden) for _ in range(layers))

    def start(self, x: Tensor) -> State:
        """The state before the first step, for the batch of ``x``."""
        zeros = x.new_zeros(len(x), self.embed.out_features)
        return [(zeros, zeros) for _ in self.cells]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        x, after = self.embed(x), []
        for cell, before in zip(self.cells, state, strict=True):
            x, c = cell(x, before)
            after.append((x, c))
        return x, after


class Predictor(nn.Module):
    """The prediction module: (h_t-1, z_t) -> g_t, (B, features) in [-1, 1]."""

    def __init__(self, features: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.lstm = Lstm(features + latent, hidden, layers=2)
        self.out = nn.Linear(hidden, features)

    def forward(self, code: Tensor, z: Tensor, state: State) -> tuple[Tensor, State]:
        x, state = self.lstm(torch.cat([code, z], dim=1), state)
        return torch.tanh(self.out(x)), state


class GaussianLstm(nn.Module):
    """The inference module, and the prior module where the prior is learned: code -> (mean, log variance) of z."""

    def __init__(self, features: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.lstm = Lstm(features, hidden, layers=1)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, code: Tensor, state: State) -> tuple[Gaussian, State]:
        x, state = self.lstm(code, state)
        return (self.mean(x), self.log_variance(x)), state


class Stochastic(nn.Module):
    """SVG with a fixed or a learned prior. Frames are RGB in [0, 1] and of ``config.size``."""

    def __init__(self, config: StochasticConfig) -> None:
        super().__init__()
        self.config = config
        further = config.poolings - len(CHANNELS)
        counts = [*CONVOLUTIONS, *[CONVOLUTIONS[-1]] * further][: config.poolings]
        widths = [*CHANNELS, *[CHANNELS[-1]] * further][: config.poolings]
        channels = [max(4, round(w * config.width)) for w in widths]
        rest = config.size[0] >> config.poolings, config.size[1] >> config.poolings
        self.encoder = Encoder(counts, channels, rest, config.features)
        self.decoder = Decoder(counts, channels, rest, config.features)
        sizes = config.features, config.latent, config.hidden
        self.predictor = Predictor(*sizes)
        self.posterior = GaussianLstm(*sizes)
        self.prior = GaussianLstm(*sizes) if config.prior == "learned" else None

    def forward(
        self, frames: Tensor, flows: Tensor | None, steps: Sequence[int], noise: Tensor | None = None
    ) -> Tensor:
        """Futures 1..K of windows (B, 8, 3, H, W): (B, K, 3, H, W). Flows are not used.

        z_k is the prior's mean plus its deviation times ``noise`` (B, K, Z), standard normal; None: the mean.
        """
        self._check(frames, steps)
        wanted = len(frames), len(steps), self.config.latent
        if noise is None:
            noise = frames.new_zeros(wanted)
        if noise.shape != wanted:
            raise ValueError(f"expected noise {wanted}, got {tuple(noise.shape)}")
        return self._roll_out(self._remember(frames), noise)

    def sample(self, frames: Tensor, steps: Sequence[int], noise: Tensor) -> Tensor:
        """N futures (N, K, 3, H, W) of one window (1, 8, 3, H, W), by ``noise`` (N, K, Z); it is encoded once."""
        self._check(frames, steps)
        if len(frames) != 1 or noise.ndim != 3 or noise.shape[1:] != (len(steps), self.config.latent):
            wanted = f"one window and noise (N, {len(steps)}, {self.config.latent})"
            raise ValueError(f"expected {wanted}, got {len(frames)} and {tuple(noise.shape)}")
        return self._roll_out(self._remember(frames).expand(len(noise)), noise)

    def teach(self, clip: Tensor, wanted: Sequence[int] | None = None) -> Taught:
        """Frames 2..T of clips (B, T, 3, H, W) that begin with a window, each made from the true frames before it.

        z_t is drawn from the posterior, which sees frame t (torch's global generator). Within the window the skips are
        those of the frame before, after it those of its last frame, as at test time. ``wanted`` names the frames to
        decode, by indices 1..T - 1 into the clip (None: all); the Gaussians are always those of all.
        """
        batch, length = clip.shape[:2]
        wanted = range(1, length) if wanted is None else wanted
        codes, skips = self._encode(clip)
        with torch.autocast(clip.device.type, enabled=False):  # the LSTMs cost little, and errors add up over time
            posterior = self._listen(self.posterior, codes)[0]
            posterior = (posterior[0][:, 1:], posterior[1][:, 1:])  # of x_1 nothing is to be inferred
            if self.prior is None:
                prior = (torch.zeros_like(posterior[0]), torch.zeros_like(posterior[1]))
            else:
                prior = self._listen(self.prior, codes[:, :-1])[0]
            z = draw(posterior, torch.randn_like(posterior[0]))
            state, made = self.predictor.lstm.start(codes[:, 0]), []
            for t in range(length - 1):
                g, state = self.predictor(codes[:, t], z[:, t], state)
                made.append(g)
        source = [min(t, WINDOW) - 1 for t in wanted]
        past = [s.unflatten(0, (batch, length))[:, source].flatten(0, 1) for s in skips]
        frames = self.decoder(torch.stack([made[t - 1] for t in wanted], dim=1).flatten(0, 1), past)
        return Taught(frames.unflatten(0, (batch, len(wanted))), posterior, prior)

    def _encode(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Codes (B, T, features) of frames (B, T, 3, H, W), and skips (B * T, C, H, W)."""
        x = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        codes, skips = self.encoder(x)
        return codes.unflatten(0, frames.shape[:2]), skips

    @staticmethod
    def _listen(module: GaussianLstm, codes: Tensor) -> tuple[Gaussian, State]:
        """The Gaussians after each of the codes (B, T, features), (B, T, Z), and the state at the end."""
        state, heard = module.lstm.start(codes[:, 0]), []
        for t in range(codes.shape[1]):
            gaussian, state = module(codes[:, t], state)
            heard.append(gaussian)
        means, log_variances = zip(*heard, strict=True)
        return (torch.stack(means, dim=1), torch.stack(log_variances, dim=1)), state

    def _remember(self, frames: Tensor) -> Memory:
        codes, skips = self._encode(frames)
        (z, _), _ = self._listen(self.posterior, codes)
        state = self.predictor.lstm.start(codes[:, 0])
        for t in range(1, WINDOW):
            _, state = self.predictor(codes[:, t - 1], z[:, t], state)
        prior = None if self.prior is None else self._listen(self.prior, codes[:, :-1])[1]
        last = [s.unflatten(0, frames.shape[:2])[:, -1] for s in skips]
        return Memory(codes[:, -1], last, state, prior)

    def _roll_out(self, memory: Memory, noise: Tensor) -> Tensor:
        code, skips, state, prior_state = memory
        futures: list[Tensor] = []
        for k in range(noise.shape[1]):
            if futures:
                code, _ = self.encoder(futures[-1].contiguous(memory_format=torch.channels_last))
            z = noise[:, k]
            if self.prior is not None and prior_state is not None:
                gaussian, prior_state = self.prior(code, prior_state)
                z = draw(gaussian, z)
            g, state = self.predictor(code, z, state)
            futures.append(self.decoder(g, skips))
        return torch.stack(futures, dim=1)

    def _check(self, frames: Tensor, steps: Sequence[int]) -> None:
        if frames.shape[1:] != (WINDOW, 3, *self.config.size):
            size = "{}x{}".format(*self.config.size)
            raise ValueError(f"expected windows of {WINDOW} RGB frames of {size}, got {tuple(frames.shape[1:])}")
        if list(steps) != list(range(1, len(steps) + 1)) or not 1 <= len(steps) <= self.config.max_steps:
            raise ValueError(f"expected steps 1, 2, ... K with K up to {self.config.max_steps}, got {list(steps)}")


def draw(gaussian: Gaussian, noise: Tensor) -> Tensor:
    """The point of a Gaussian that standard normal ``noise`` stands for."""
    mean, log_variance = gaussian
    return mean + torch.exp(0.5 * log_variance) * noise
