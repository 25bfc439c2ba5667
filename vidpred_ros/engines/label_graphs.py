"""The networks of label maps as engines see them: uint8 maps and frames in, uint8 maps and their certainty out. Imports torch.

The structure generator comes in four graphs. ``structure`` has the whole window in one; ``encode`` and ``forecast`` are its two
halves, so that a stream of frames encodes each map once; ``step`` is one step with the recurrent states as inputs and outputs,
so that a future of any length takes the memory of one step. Its RGB form (space "rgb") is a network of frames: ``whole``.

Bytes are cast first thing and made last thing: TensorRT knows uint8 only at a port.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vidpred_ros.networks.config import PixelsConfig, S2SConfig, StructureConfig
from vidpred_ros.networks.pixels import FLOWS
from vidpred_ros.networks.stochastic import draw
from vidpred_ros.networks.structure import Encoding, StructureGenerator
from vidpred_ros.semantics import OCCUPANTS

#: What a forecast says beside the sampled maps.
SUMMARY = ["labels", "entropy", "confidence", "occupancy"]


def summarise(steps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """K steps of logits (N, C, H, W) -> samples (N, K, H, W) uint8 and, over the samples, labels (K, H, W) uint8, entropy
    and confidence (K, H, W), occupancy (classes of ``OCCUPANTS``, H, W).

    Label, entropy (nats) and confidence are those of the mean probability; occupancy is the mean over samples of a class's
    largest probability at any step.
    """
    classes = [c for c in OCCUPANTS if c < steps[0].shape[1]]
    samples, labels, entropies, confidences = [], [], [], []
    seen: Tensor | None = None
    for logits in steps:
        samples.append(_best(logits))
        p = logits.permute(0, 2, 3, 1).softmax(dim=-1)  # classes last, where the convolutions of a runtime leave them too
        mean = p.mean(dim=0)
        labels.append(mean.argmax(dim=-1))
        confidences.append(mean.amax(dim=-1))
        entropies.append(-(mean * torch.log(mean.clamp_min(1e-12))).sum(dim=-1))
        now = p[..., classes]
        seen = now if seen is None else torch.maximum(seen, now)
    assert seen is not None
    drawn, best = torch.stack(samples, dim=1).to(torch.uint8), torch.stack(labels).to(torch.uint8)
    return drawn, best, torch.stack(entropies), torch.stack(confidences), seen.mean(dim=0).permute(2, 0, 1)


def _best(logits: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W) int64; classes last, because runtimes search along a row much faster."""
    return logits.permute(0, 2, 3, 1).argmax(dim=-1)


class _Graph(nn.Module):
    """What the graphs below share: a network, no metadata of their own, and whether an output hangs on an arg-max within."""

    discrete = False

    def __init__(self, network: nn.Module, config: Any) -> None:
        super().__init__()
        self.network: Any = network
        self.config = config

    def metadata(self) -> dict[str, str]:
        return {}


class Segment(_Graph):
    """frames (1, H, W, 3) uint8 -> labels (H, W) uint8."""

    def forward(self, frames: Tensor) -> Tensor:
        return _best(self.network((frames.float() / 255).permute(0, 3, 1, 2)))[0].to(torch.uint8)

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        return {"frames": torch.zeros(1, *size, 3, dtype=torch.uint8)}

    def outputs(self) -> list[str]:
        return ["labels"]


class _Structure(_Graph):
    """What the graphs of the structure generator take."""

    config: StructureConfig

    def maps(self, count: int) -> dict[str, Tensor]:
        return {"maps": torch.zeros(count, *self.config.size, dtype=torch.uint8)}

    def prior(self, guesses: int, flows: int) -> dict[str, Tensor]:
        if not self.config.needs_flows:
            return {}
        size = self.config.size
        return {"moved": torch.zeros(guesses, *size, dtype=torch.uint8), "flows": torch.zeros(flows, *size, 2)}

    def noise(self, samples: int, steps: int) -> dict[str, Tensor]:
        return {"noise": torch.zeros(samples, steps, *self.config.noise_shape)} if self.config.noise_channels else {}

    def split(self, others: tuple[Tensor, ...]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """moved (int32), flows as the network has them (channels first), noise."""
        found = list(others)
        moved = found.pop(0).to(torch.int32) if self.config.needs_flows else None
        flows = found.pop(0).permute(0, 3, 1, 2) if self.config.needs_flows else None
        return moved, flows, found.pop(0) if found else None

    def encoding(self) -> Encoding:
        """An encoding of zeros: for its shapes."""
        config = self.config
        prior = self.prior(1, 1)
        flow = prior["flows"].permute(0, 3, 1, 2) if prior else None
        with torch.no_grad():
            maps = torch.zeros(1, *config.size, dtype=torch.uint8)
            if config.space == "rgb":
                maps = torch.zeros(1, config.channels, *config.size)
            encoding: Encoding = self.network.encode(maps, prior.get("moved"), flow)
        return encoding


class Whole(_Structure):
    """maps (T, H, W) uint8 [, moved (T - 1 + K, H, W) uint8, flows (T, H, W, 2) in pixels][, noise (N, K, *noise_shape)]
    -> samples (N, K, H, W) uint8 and the ``SUMMARY``."""

    discrete = True

    def __init__(self, network: nn.Module, config: StructureConfig | S2SConfig, steps: int, samples: int) -> None:
        super().__init__(network, config)
        self.steps, self.samples = steps, samples

    def forward(self, maps: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        maps = maps.to(torch.int32)
        if isinstance(self.config, S2SConfig):
            return summarise(self.network(maps[None], None, None, self.steps, None).unbind(dim=1))
        moved, flows, noise = self.split(others)
        moved, flows = (None if x is None else x[None] for x in (moved, flows))
        return summarise(self.network(maps[None], moved, flows, self.steps, noise).unbind(dim=1))

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        maps, context = self.maps(self.config.context), self.config.context
        if isinstance(self.config, S2SConfig):
            return maps
        return maps | self.prior(context - 1 + self.steps, context) | self.noise(self.samples, self.steps)

    def outputs(self) -> list[str]:
        return ["samples", *SUMMARY]


class Encode(_Structure):
    """maps (1, H, W) uint8 [, moved (1, H, W) uint8, flows (1, H, W, 2)] -> code (1, c, h, w) and skip_0.. (1, C, H, W)."""

    def forward(self, maps: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        moved, flows, _ = self.split(others)
        code, skips = self.network.encode(maps, moved, flows)
        return code, *skips

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        return self.maps(1) | self.prior(1, 1)

    def outputs(self) -> list[str]:
        return ["code", *(f"skip_{i}" for i in range(len(self.encoding().skips)))]


class Forecast(_Structure):
    """codes (T, c, h, w) of the context, skip_0.. of its last map [, moved (K, H, W) uint8, flows (1, H, W, 2) of the last map]
    [, noise (N, K, *noise_shape)] -> samples (N, K, H, W) uint8 and the ``SUMMARY``."""

    discrete = True

    def __init__(self, network: StructureGenerator, config: StructureConfig, steps: int, samples: int) -> None:
        super().__init__(network, config)
        self.steps, self.samples = steps, samples
        self.skips = len(self.encoding().skips)

    def forward(self, codes: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        skips = list(others[: self.skips])
        moved, flows, noise = self.split(others[self.skips :])
        encodings = [Encoding(code, skips) for code in codes.split(1)]
        return summarise(
            self.network.roll_out(encodings, None if moved is None else moved[None], flows, self.steps, noise)
        )

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        code, skips = self.encoding()
        inputs = {"codes": code.repeat(self.config.context, 1, 1, 1)}
        inputs |= {f"skip_{i}": skip for i, skip in enumerate(skips)}
        return inputs | self.prior(self.steps, 1) | self.noise(self.samples, self.steps)

    def outputs(self) -> list[str]:
        return ["samples", *SUMMARY]


class Step(_Structure):
    """One step: what was seen or made last goes in and what comes next comes out, N futures at a time.

    Space "labels": last (N, H, W) uint8; "soft" and "rgb": last (N, C, H, W) float32, probabilities or a frame in [0, 1].
    [moved (N, H, W) uint8, flows (1, H, W, 2)][, noise (N, *noise_shape)], states state_0.. (N, c, h, w), zeros at first
    -> next, of the shape of ``last``, labels (N, H, W) uint8 (not in space "rgb"), new states. The context goes the same way
    with zero noise, the prior's mean, before its newest map begins the future.
    """

    discrete = True

    def __init__(self, network: StructureGenerator, config: StructureConfig, samples: int) -> None:
        super().__init__(network, config)
        self.samples = samples
        code = self.encoding().code
        heard = [] if network.prior is None else network.prior.start(code)
        self.heard = len(heard)
        self.states = [tuple(state.shape[1:]) for state in [*heard, *network.predictor.start(code)]]

    def forward(self, last: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        inputs, states = others[: -len(self.states)], list(others[-len(self.states) :])
        moved, flows, noise = self.split(inputs)
        code, skips = self.network.encode(last, moved, None if flows is None else flows.expand(self.samples, -1, -1, -1))
        prior, state, z = states[: self.heard], states[self.heard :], None
        if noise is not None:
            gaussian, prior = self.network.prior(code, prior)
            z = draw(gaussian, noise)
        g, state = self.network.predictor(code, z, state)
        made = self.network.decode(g, skips, moved)
        if self.config.space == "rgb":
            return made, *prior, *state
        labels = _best(made).to(torch.uint8)
        return labels if self.config.space == "labels" else made.softmax(dim=1), labels, *prior, *state

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        config, count = self.config, self.samples
        inputs = {"last": self.maps(count)["maps"]}
        if config.space != "labels":
            inputs = {"last": torch.zeros(count, config.channels, *config.size)}
        inputs |= self.prior(count, 1)
        if config.noise_channels:
            inputs["noise"] = torch.zeros(count, *config.noise_shape)
        return inputs | {f"state_{i}": torch.zeros(count, *shape) for i, shape in enumerate(self.states)}

    def outputs(self) -> list[str]:
        made = ["next"] if self.config.space == "rgb" else ["next", "labels"]
        return made + [f"new_{i}" for i in range(len(self.states))]


class WholeFrames(_Structure):
    """Space "rgb": frames (T, H, W, 3) uint8 [, noise (N, K, *noise_shape)] -> futures (N, K, H, W, 3) uint8."""

    def __init__(self, network: StructureGenerator, config: StructureConfig, steps: int, samples: int) -> None:
        super().__init__(network, config)
        self.steps, self.samples = steps, samples

    def forward(self, frames: Tensor, *noise: Tensor) -> Tensor:
        window = (frames.float() / 255).permute(0, 3, 1, 2)[None]
        return pixels(self.network(window, None, None, self.steps, *noise))

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        frames = torch.zeros(self.config.context, *self.config.size, 3, dtype=torch.uint8)
        return {"frames": frames} | self.noise(self.samples, self.steps)

    def outputs(self) -> list[str]:
        return ["futures"]


class Edges(_Graph):
    """labels (1, H, W) uint8 -> edges (1, H, W) float32 in [0, 1]."""

    def forward(self, labels: Tensor) -> Tensor:
        return self.network(one_hot(labels, self.config.classes))[:, 0]

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        return {"labels": torch.zeros(1, *size, dtype=torch.uint8)}

    def outputs(self) -> list[str]:
        return ["edges"]


class Pixels(_Graph):
    """frames (tau, H, W, 3) uint8, the newest past ones, and labels (tau + 1, H, W) uint8, theirs and the next frame's
    [, edges (tau + 1, H, W) float32][, flows (3, H, W, 2) in pixels, of ``motion.NextFlows``] -> frame (H, W, 3) uint8."""

    config: PixelsConfig

    def forward(self, frames: Tensor, labels: Tensor, *others: Tensor) -> Tensor:
        structures, prior = one_hot(labels, self.config.classes), None
        if self.config.edges:
            structures = torch.cat([structures, others[0][:, None]], dim=1)
        if self.config.motion_prior == "dis":
            prior = others[-1].permute(0, 3, 1, 2)[None]
        past = (frames.float() / 255).permute(0, 3, 1, 2)[None]
        return pixels(self.network(past, structures[None], prior).frame[0])

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        past = self.config.past
        inputs = {
            "frames": torch.zeros(past, *size, 3, dtype=torch.uint8),
            "labels": torch.zeros(past + 1, *size, dtype=torch.uint8),
        }
        if self.config.edges:
            inputs["edges"] = torch.zeros(past + 1, *size)
        if self.config.motion_prior == "dis":
            inputs["flows"] = torch.zeros(FLOWS, *size, 2)
        return inputs

    def outputs(self) -> list[str]:
        return ["frame"]


def pixels(images: Tensor) -> Tensor:
    """... x 3 x H x W float32 in [0, 1] to ... x H x W x 3 uint8, rounded to the nearest: nothing is left for the CPU to do.

    The limits are for runtimes in bfloat16, where 255.5 is 256.
    """
    return (images.movedim(-3, -1) * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(N, H, W) integer -> (N, classes, H, W) float32; an id that is no class (255) is all zeros."""
    ids = torch.arange(classes, dtype=torch.int32, device=labels.device)
    return (labels.to(torch.int32)[..., None] == ids).float().permute(0, 3, 1, 2)


def make_label_graph(network: nn.Module, config: Any, kind: str, steps: int, samples: int) -> _Graph:
    """The graph of a kind that ``graphs_of`` has for this network."""
    if kind == "segment":
        return Segment(network, config)
    if kind == "edges":
        return Edges(network, config)
    if kind == "pixels":
        return Pixels(network, config)
    if kind == "structure":
        return Whole(network, config, steps, samples)
    assert isinstance(network, StructureGenerator)  # the one network with the other kinds
    if kind == "encode":
        return Encode(network, config)
    if kind == "step":
        return Step(network, config, samples)
    return (Forecast if kind == "forecast" else WholeFrames)(network, config, steps, samples)
