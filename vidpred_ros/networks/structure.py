"""The structure generator of HVP: SVG-extend on label maps (Lee 2021, section 2.1, tables B to E of appendix C).

A label map s_t, one-hot, is encoded into h_t at 1/8 of its size and the feature maps before each pooling (skips). Three
recurrent modules of convolutional LSTMs share the encoder: the posterior q(z_t | s_1..t), the prior p(z_t | s_1..t-1), and
the predictor, which makes g_t from h_t-1 and z_t. The decoder makes s_t of g_t and the skips of s_t-1: skips at every step,
not those of the last true frame. At test time z is the prior's, and the arg-max of a step is what the next step sees.

For 1/16 and 1/32, blocks like the third are stacked (appendix C.1: "one and two more convolutional blocks").

The ablations of section 5 are settings: form "lstm" has no prior, posterior and z; form "cnn" has no recurrence either; space
"soft" hands on probabilities instead of the arg-max; space "rgb" sees and makes frames.

Where the text is silent or we read it in one of several ways:
- Table C ends in "Conv 256, ReLU -> mu, sigma". A ReLU there would forbid means below zero; we put it before the
  convolution, which gives the mean and the logarithm of the variance. The tables' ReLUs after a ConvLSTM act on what it
  passes on, not on its state. ConvLSTMs are those of Shi 2015 without peepholes; their forget gates start open (bias 1).
- Nothing is said of first values: ours let z through (conv_lstm.py).
- Table E ends in 3 channels, which is the RGB form; a label map has one for each class.
- Over the context the predictor hears the prior's mean, so that a forecast depends on its inputs and its noise alone, and
  the posterior is not needed after training.
- "cnn" stacks the codes of the newest ``context`` maps and has plain convolutions in place of the predictor's LSTMs; maps
  before the first are zeros.
- "soft" sees one-hot label maps, or soft ones (B, T, C, H, W) where a segmenter gives them.

Ours is the motion prior: each map comes with the guess of the next one, the map moved by the classical flow of the camera's
frames ("dis") or, after the newest, by the motion that a frame predictor foretells ("frames"), and with that flow. A step's
logits are gate * scale[class] * onehot(guess) + decoder's, the gate of each pixel too from the decoder, whose last convolution
starts at zero: an untrained network is the labels moved by flow.

Parameters at width 1.0 with 19 classes: 22.3 M at scale 8, 25.8 M at 16, of which the posterior, needed for training only, has
4.1 M; at width 0.25 1.4 M. GFLOP of one step (encode, prior, predictor, decode) of 128x256 at width 0.25 with a motion prior:
1.15 + 0.26 + 0.62 + 1.32 = 3.4; of 64x64 at width 1.0: 1.6 + 0.5 + 1.3 + 2.4 = 5.8.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred_ros.networks.config import StructureConfig
from vidpred_ros.networks.conv_lstm import AFTER_LSTM, GAIN, ConvLstm, first_values
from vidpred_ros.networks.stochastic import Gaussian, draw

#: Channels of the encoder's blocks at width 1.0, and how many convolutions each has (table B); further blocks are like the last.
BLOCKS = ((64, 2), (128, 2), (256, 3))
#: Channels of h, z and g, and of the LSTMs' states, at width 1.0 (tables C and D).
CODE, HIDDEN = 128, 256
#: Flow enters the network in units of this many pixels.
FLOW_UNIT = 10.0
#: The motion prior's logit of the class that it guesses, before training.
SCALE = 6.0
#: What is added to the gate's logit: it starts nearly open.
OPEN = 2.0


class Encoding(NamedTuple):
    """What the encoder makes of one label map."""

    code: Tensor  # h, (B, 128 * width, H / scale, W / scale)
    skips: list[Tensor]  # before each pooling, the finest first


class Taught(NamedTuple):
    """What ``StructureGenerator.teach`` returns: the last L frames of a clip, and z's distributions there (None without z)."""

    logits: Tensor  # (B, L, C, H, W)
    posterior: Gaussian | None  # mean and log variance, each (B, L, Z, h, w)
    prior: Gaussian | None


def convolutions(*channels: int, gain: float = GAIN) -> nn.Sequential:
    """3x3 convolutions with ReLUs."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [first_values(nn.Conv2d(inputs, outputs, 3, padding=1), gain), nn.ReLU()]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Table B: maps (B, C, H, W), and with a motion prior guesses (B or 1, C + 2, H, W), -> their encoding.

    The first convolution sees both; it is kept in two parts, because N samples share one guess.
    """

    def __init__(self, channels: int, guess: int, widths: list[int], counts: list[int], code: int) -> None:
        super().__init__()
        self.first = first_values(nn.Conv2d(channels, widths[0], 3, padding=1))
        self.guess = first_values(nn.Conv2d(guess, widths[0], 3, padding=1, bias=False)) if guess else None
        below = [widths[0], *widths]
        self.stages = nn.ModuleList(
            convolutions(below[i], *[width] * (counts[i] - (i == 0))) for i, width in enumerate(widths)
        )
        self.code = convolutions(widths[-1], code)

    def forward(self, x: Tensor, guess: Tensor | None) -> Encoding:
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        if self.guess is not None and guess is not None:
            x = x + self.guess(guess.contiguous(memory_format=torch.channels_last))
        x, skips = F.relu(x), []
        for stage in self.stages:
            skips.append(stage(x))
            x = F.max_pool2d(skips[-1], 2)
        return Encoding(self.code(x), skips)


class Decoder(nn.Module):
    """Table E: g (B, code, h, w) and the skips of the map before -> (B, outputs, H, W)."""

    def __init__(self, outputs: int, widths: list[int], counts: list[int], code: int) -> None:
        super().__init__()
        passed = [widths[max(i - 1, 0)] for i in range(len(widths))]  # channels that a stage passes on
        passed[2:] = [code] * len(passed[2:])
        self.stages = nn.ModuleList()
        inputs = code
        for i in reversed(range(len(widths))):
            rest = [passed[i]] if i else []  # the last convolution of the finest stage is the output
            self.stages.append(convolutions(inputs + widths[i], *[widths[i]] * (counts[i] - 1), *rest))
            inputs = passed[i]
        self.out = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.out(x).float()


class GaussianLstm(nn.Module):
    """Table C, posterior or prior: code, state [h, c] -> (mean, log variance) of z, each (B, code, h, w), and state."""

    def __init__(self, code: int, hidden: int) -> None:
        super().__init__()
        self.cell = ConvLstm(code, hidden)
        self.out = first_values(nn.Conv2d(hidden, 2 * code, 3, padding=1), AFTER_LSTM)
        with torch.no_grad():
            self.out.weight[code:] /= 10  # variances start near 1

    def start(self, code: Tensor) -> list[Tensor]:
        """The state before the first map, for codes like ``code``."""
        return [code.new_zeros(len(code), self.cell.hidden, *code.shape[2:])] * 2

    def forward(self, code: Tensor, state: list[Tensor]) -> tuple[Gaussian, list[Tensor]]:
        h, c = self.cell(code, *state)
        mean, log_variance = self.out(F.relu(h)).float().chunk(2, dim=1)
        return (mean, log_variance), [h, c]


class Predictor(nn.Module):
    """Table D: code, z (None: a form without), state [h, c, h, c] -> g and state."""

    def __init__(self, code: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cells = nn.ModuleList([ConvLstm(code + latent, hidden), ConvLstm(hidden, hidden)])
        self.out = convolutions(hidden, code, gain=AFTER_LSTM)

    def start(self, code: Tensor) -> list[Tensor]:
        return [code.new_zeros(len(code), self.hidden, *code.shape[2:])] * 4

    def forward(self, code: Tensor, z: Tensor | None, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        x, after = code if z is None else torch.cat([code, z.to(code.dtype)], dim=1), []
        for i, cell in enumerate(self.cells):
            h, c = cell(x, *state[2 * i : 2 * i + 2])
            after += [h, c]
            x = F.relu(h)
        return self.out(x), after


class FeedForward(nn.Module):
    """Form "cnn" in the predictor's place: the state is the codes of the maps before, the oldest first."""

    def __init__(self, code: int, hidden: int, context: int) -> None:
        super().__init__()
        self.past = context - 1
        self.out = convolutions(context * code, hidden, hidden, code)

    def start(self, code: Tensor) -> list[Tensor]:
        return [torch.zeros_like(code)] * self.past

    def forward(self, code: Tensor, z: Tensor | None, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        seen = [*state, code]
        return self.out(torch.cat(seen, dim=1)), seen[1:]


class StructureGenerator(nn.Module):
    """SVG-extend. Label maps (..., H, W) are of any integer type, classes 0.. and 255 (all zeros one-hot); space "rgb" has
    frames (..., 3, H, W) float in [0, 1] in their place, and "soft" may have soft maps (..., C, H, W)."""

    def __init__(self, config: StructureConfig) -> None:
        super().__init__()
        self.config = config
        depth = config.scale.bit_length() - 1
        blocks = [*BLOCKS, *[BLOCKS[-1]] * (depth - len(BLOCKS))]
        widths, counts = [_scaled(channels, config) for channels, _ in blocks], [count for _, count in blocks]
        code, hidden = _scaled(CODE, config), _scaled(HIDDEN, config)
        moves, stochastic = config.needs_flows, config.form == "svg"
        self.encoder = Encoder(config.channels, config.channels + 2 if moves else 0, widths, counts, code)
        self.decoder = Decoder(config.channels + moves, widths, counts, code)
        self.prior = GaussianLstm(code, hidden) if stochastic else None
        self.posterior = GaussianLstm(code, hidden) if stochastic else None
        self.predictor: Predictor | FeedForward
        if config.form == "cnn":
            self.predictor = FeedForward(code, hidden, config.context)
        else:
            self.predictor = Predictor(code, code if stochastic else 0, hidden)
        self.scale = nn.Parameter(torch.full((config.channels,), SCALE)) if moves else None
        if moves:
            for parameter in self.decoder.out.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, labels: Tensor, moved: Tensor | None, flows: Tensor | None, steps: int, noise: Tensor | None = None
    ) -> Tensor:
        """Logits (B, K, C, H, W) of the K = ``steps`` maps after contexts (B, T, H, W); frames in [0, 1] in space "rgb".

        With a motion prior ``moved`` (B, T - 1 + K, H, W) has the guess of the map after each of the context's, then of
        the later ones (the last map moved 2, 3, ... steps), and ``flows`` (B, T, 2, H, W) the backward flow of each frame.
        ``noise`` (B, K, *noise_shape) standard normal; None: the prior's mean. With one context it may be (N, K, ...).
        """
        last = self.config.context - 1
        self._check(labels, moved, flows, self.config.context, last + steps)
        encodings = [self.encode(labels[:, t], _at(moved, t), _at(flows, t)) for t in range(last + 1)]
        guesses = None if moved is None else moved[:, last:]
        return torch.stack(self.roll_out(encodings, guesses, _at(flows, last), steps, noise), dim=1)

    def encode(self, labels: Tensor, moved: Tensor | None = None, flow: Tensor | None = None) -> Encoding:
        """The encoding of one map (B, H, W); with a motion prior its ``moved`` (B, H, W) and ``flow`` (B, 2, H, W)."""
        return self.encoder(self._observed(labels), self._guess(moved, flow))

    def roll_out(
        self, encodings: list[Encoding], moved: Tensor | None, flow: Tensor | None, steps: int, noise: Tensor | None = None
    ) -> list[Tensor]:
        """``forward`` from the encodings of the context, of which only the last one's skips are looked at.

        ``moved`` (B, K, H, W) and ``flow`` (B, 2, H, W) are those of the last map. The logits of each step, (B, C, H, W) or
        with ``noise`` (N, K, ...) and one context (N, C, H, W).
        """
        code, skips = encodings[-1]
        count = len(code) if noise is None else len(noise)
        wanted = (count, steps, *self.config.noise_shape)
        if noise is not None and (noise.shape != wanted or len(code) not in (1, count)):
            raise ValueError(f"expected noise {wanted} for {len(code)} contexts, got {tuple(noise.shape)}")
        if len(encodings) != self.config.context:
            raise ValueError(f"expected encodings of {self.config.context} maps, got {len(encodings)}")
        prior, state = self._heard([encoding.code for encoding in encodings[:-1]], code)
        # only now are one context's tensors as many as there are samples
        prior, state, skips = (_expanded(tensors, count) for tensors in (prior, state, skips))
        code = code.expand(count, *code.shape[1:])
        made: list[Tensor] = []
        for k in range(steps):
            if made:
                code, skips = self.encoder(self._handed_on(made[-1]), self._guess(_at(moved, k), flow))
            z = None
            if self.prior is not None:
                (mean, log_variance), prior = self.prior(code, prior)
                z = mean if noise is None else draw((mean, log_variance), noise[:, k])
            g, state = self.predictor(code, z, state)
            made.append(self.decode(g, skips, _at(moved, k)))
        return made

    def teach(self, labels: Tensor, moved: Tensor | None, flows: Tensor | None, closed: bool = False) -> Taught:
        """The training pass over clips (B, T + K, H, W); ``moved`` (B, T - 1 + K, H, W) and ``flows`` (B, T, 2, H, W).

        z is drawn from the posterior (torch's global generator), which sees the true map. Not ``closed``: teacher forcing
        (the paper), every map from the second on is made from the true ones before it, L = T + K - 1. ``closed``: as in a
        forecast the context is heard with the prior's mean, then each map is made from those that the network made
        itself, L = K. The posterior sees the clip's last map, which has no guess of a next one, with the guess of itself.
        """
        length, last = labels.shape[1], self.config.context - 1
        self._check(labels, moved, flows, length, length - 1)
        if length <= self.config.context:
            raise ValueError(f"expected clips of more than the context's {self.config.context} maps, got {length}")
        seen = length if self.posterior is not None else last + 1 if closed else length - 1
        maps = labels[:, :seen].transpose(0, 1).flatten(0, 1)
        guess: Tensor | None = None
        if moved is not None and flows is not None:
            guesses = torch.cat([moved[:, min(t, length - 2)] for t in range(seen)])
            guess = self._guess(guesses, torch.cat([flows[:, min(t, last)] for t in range(seen)]))
        codes, skips = self.encoder(self._observed(maps), guess)
        codes, skips = codes.unflatten(0, (seen, -1)), [s.unflatten(0, (seen, -1)) for s in skips]  # (seen, B, ...)
        inferred: list[Gaussian] = []
        if self.posterior is not None:
            heard = self.posterior.start(codes[0])
            for code in codes:
                gaussian, heard = self.posterior(code, heard)
                inferred.append(gaussian)
        first = last + 1 if closed else 1  # the first map that is made
        prior, state = self._heard(list(codes[: first - 1]), codes[0])
        foretold: list[Gaussian] = []
        made: list[Tensor] = []
        for t in range(first, length):
            code, below = codes[min(t, seen) - 1], [s[min(t, seen) - 1] for s in skips]
            if closed and made:
                guess = self._guess(_at(moved, t - 1), _at(flows, last))
                code, below = self.encoder(self._handed_on(made[-1]), guess)
            z = None
            if self.prior is not None:
                gaussian, prior = self.prior(code, prior)
                foretold.append(gaussian)
                z = draw(inferred[t], torch.randn_like(inferred[t][0]))
            g, state = self.predictor(code, z, state)
            made.append(self.decode(g, below, _at(moved, t - 1)) if closed else g)
        if not closed:  # nothing hangs on a decoded map: all at once
            below = [s[: length - 1].flatten(0, 1) for s in skips]
            guess = None if moved is None else moved.transpose(0, 1).flatten(0, 1)
            logits = self.decode(torch.cat(made), below, guess).unflatten(0, (length - 1, -1)).transpose(0, 1)
        else:
            logits = torch.stack(made, dim=1)
        return Taught(logits, _stacked(inferred[first:]), _stacked(foretold))

    def one_hot(self, labels: Tensor) -> Tensor:
        """Integer maps (B, H, W) -> (B, classes, H, W) float32; by comparison, which every runtime does well."""
        classes = torch.arange(self.config.classes, dtype=torch.int32, device=labels.device)
        return (labels.to(torch.int32)[..., None] == classes).float().permute(0, 3, 1, 2)

    def _observed(self, maps: Tensor) -> Tensor:
        """What the encoder sees of the maps of one time."""
        return maps if maps.is_floating_point() else self.one_hot(maps)

    def _handed_on(self, logits: Tensor) -> Tensor:
        """What the next step sees of a step's output."""
        if self.config.space == "labels":
            return self.one_hot(logits.permute(0, 2, 3, 1).argmax(dim=-1))
        return logits.softmax(dim=1) if self.config.space == "soft" else logits

    def _guess(self, moved: Tensor | None, flow: Tensor | None) -> Tensor | None:
        if moved is None or flow is None:
            return None
        return torch.cat([self.one_hot(moved), flow / FLOW_UNIT], dim=1)

    def _heard(self, codes: list[Tensor], like: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The states of prior (none without) and predictor after hearing codes, z being the prior's mean."""
        prior = [] if self.prior is None else self.prior.start(like)
        state = self.predictor.start(like)
        for code in codes:
            z = None
            if self.prior is not None:
                (z, _), prior = self.prior(code, prior)
            _, state = self.predictor(code, z, state)
        return prior, state

    def decode(self, g: Tensor, skips: list[Tensor], moved: Tensor | None) -> Tensor:
        """A step's logits (B, C, H, W), or its frame, from g, the skips of the map before and the guess (B or 1, H, W)."""
        out = self.decoder(g, skips)
        if self.config.space == "rgb":
            return torch.sigmoid(out)
        if self.scale is None or moved is None:
            return out
        logits, gate = out[:, :-1], torch.sigmoid(out[:, -1:] + OPEN)
        return logits + gate * self.scale[:, None, None] * self.one_hot(moved)

    def _check(self, labels: Tensor, moved: Tensor | None, flows: Tensor | None, length: int, guesses: int) -> None:
        config = self.config
        channels = (config.channels,) if labels.is_floating_point() else ()
        if config.space == ("labels" if channels else "rgb"):
            raise ValueError(f"space {config.space!r} does not take maps of {labels.dtype}")
        wanted = {"maps": (length, *channels, *config.size)}
        found = {"maps": tuple(labels.shape[1:])}
        if config.needs_flows:
            wanted |= {"moved": (guesses, *config.size), "flows": (config.context, 2, *config.size)}
            found |= {"moved": () if moved is None else tuple(moved.shape[1:])}
            found |= {"flows": () if flows is None else tuple(flows.shape[1:])}
        if wanted != found or (not config.needs_flows and (moved is not None or flows is not None)):
            raise ValueError(f"expected (beside the batch) {wanted} and nothing else, got {found}")


def _scaled(channels: int, config: StructureConfig) -> int:
    return max(4, round(channels * config.width))


def _at(maps: Tensor | None, t: int) -> Tensor | None:
    return None if maps is None else maps[:, t]


def _expanded(tensors: list[Tensor], count: int) -> list[Tensor]:
    return [t.expand(count, *t.shape[1:]) for t in tensors]


def _stacked(gaussians: list[Gaussian]) -> Gaussian | None:
    if not gaussians:
        return None
    means, log_variances = zip(*gaussians, strict=True)
    return torch.stack(means, dim=1), torch.stack(log_variances, dim=1)
