"""The networks as engines see them: uint8 frames in, futures out, batch norms folded. Imports torch.

A graph has fixed shapes: K futures, and for a stochastic network N samples, are chosen when it is made.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from vidpred_ros.engines.base import GraphSpec, graphs_of
from vidpred_ros.engines.flat import FlatTree
from vidpred_ros.engines.label_graphs import make_label_graph, pixels
from vidpred_ros.errors import ModelError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import CLASSES, FRAME_KINDS, LABEL_KINDS, WINDOW, NetworkConfig
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual


def load_network(model: ReleasedModel) -> nn.Module:
    """The trained network in evaluation mode, float32. Raises ModelError when the weights are not this network's."""
    config, path = model.card.network, model.verified_weights
    try:
        weights = load_file(path)
    except Exception as error:  # noqa: BLE001 - safetensors raises many kinds for a damaged file
        raise ModelError(f"{path} is no safetensors file: {error}") from None
    network = make_network(config)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(f"{path}: not the weights of {config!r}: {', '.join(wrong[:3])}{more} do not fit")
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return network.eval().requires_grad_(False)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Merge each batch norm into the layer before it, in place: TensorRT refuses graphs that keep them.

    In our networks the layer before it in a graph is the one declared before it; engines are tested against the network
    as it was.
    """
    for block in network.modules():
        for (name, layer), (norm_name, norm) in pairwise(block.named_children()):
            folded = _fold(layer, norm)
            if folded is not None:
                setattr(block, name, folded)
                setattr(block, norm_name, nn.Identity())
    return network


def _fold(layer: nn.Module, norm: nn.Module) -> nn.Module | None:
    """The layer that does what both do, or None when they are not a layer and a batch norm."""
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
        return None
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        return fuse_conv_bn_eval(layer, norm, transpose=True)
    return fuse_conv_bn_eval(layer, norm) if isinstance(layer, nn.modules.conv._ConvNd) else None


def images(frames: Tensor) -> Tensor:
    """... x H x W x 3 uint8 to ... x 3 x H x W float32 in [0, 1]. The cast comes first: TensorRT knows bytes only at a port."""
    return (frames.float() / 255).movedim(-1, -3)


class WholeWindow(nn.Module):
    """Any network: frames (8, H, W, 3) uint8 and what else it takes -> futures (K, H, W, 3) uint8.

    With a motion prior also flows (8, H, W, 2) in pixels; a stochastic network takes noise (N, K, Z) and gives
    futures (N, K, H, W, 3), one future for each sample. With a batch of N > 1 cameras everything has a leading N.
    """

    discrete = False

    def __init__(self, network: Any, config: NetworkConfig, spec: GraphSpec) -> None:
        super().__init__()
        self.network, self.config, self.spec = network, config, spec
        self.steps = list(range(1, spec.steps + 1))

    def forward(self, frames: Tensor, *others: Tensor) -> Tensor:
        window = self.batched(images(frames))
        if self.config.noise_channels:
            return pixels(self.network.sample(window, self.steps, others[0]))
        return pixels(self.single(self.network(window, self.flows(others), self.steps)))

    def flows(self, others: tuple[Tensor, ...]) -> Tensor | None:
        return self.batched(others[0]).movedim(-1, -3) if others else None

    def batched(self, x: Tensor) -> Tensor:
        """What a network takes: with a leading batch, which a single camera has not."""
        return x if self.spec.batch > 1 else x[None]

    def single(self, x: Tensor) -> Tensor:
        return x if self.spec.batch > 1 else x[0]

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        return self.window(WINDOW, WINDOW, size) | self.noise()

    def window(self, frames: int, flows: int, size: tuple[int, int]) -> dict[str, Tensor]:
        cameras = [self.spec.batch] if self.spec.batch > 1 else []
        inputs = {"frames": torch.zeros(*cameras, frames, *size, 3, dtype=torch.uint8)}
        return inputs | ({"flows": torch.zeros(*cameras, flows, *size, 2)} if self.config.needs_flows else {})

    def noise(self) -> dict[str, Tensor]:
        shape = (self.spec.samples, self.spec.steps, self.config.noise_channels)
        return {"noise": torch.zeros(shape)} if self.config.noise_channels else {}

    def outputs(self) -> list[str]:
        return ["futures"]

    def metadata(self) -> dict[str, str]:
        return {}


class Motion(WholeWindow):
    """A hierarchical network with a warp head: the inputs of ``WholeWindow`` -> motions (K, H, W, 2) float32, pixels: the
    frame k steps ahead is the last one sampled at p + motion(p)."""

    def forward(self, frames: Tensor, *others: Tensor) -> Tensor:
        motions = self.network.motions(self.batched(images(frames)), self.flows(others), self.steps)
        return self.single(motions.movedim(-3, -1))

    def outputs(self) -> list[str]:
        return ["motions"]


class Stream(WholeWindow):
    """frames (2, H, W, 3) uint8, the last one and the new one, the newest flows (2, or with ``steady`` 4, H, W, 2), past
    states (N, h, w, c) -> futures (K, H, W, 3) uint8, new states (tree form)."""

    network: FlatTree

    def forward(self, frames: Tensor, *others: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        names, flows = list(self.network.state_delays()), self.flows(others[:1] if self.config.needs_flows else ())
        states = dict(zip(names, others[-len(names) :], strict=True))
        futures, kept = self.network.step(self.batched(images(frames)), flows, states, self.steps)
        return pixels(self.single(futures)), *(kept[name] for name in names)

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        shapes = self.network.state_shapes(size)
        past = {f"past_{name}": torch.zeros(self.spec.batch, *shapes[name]) for name in self.network.state_delays()}
        return self.window(2, self.network.config.flows_decoded, size) | past

    def outputs(self) -> list[str]:
        return ["futures", *self.network.state_delays()]

    def metadata(self) -> dict[str, str]:
        """After how many frames each state that goes out comes back in."""
        return {"vidpred.delays": json.dumps(self.network.state_delays())}


class Graph(Protocol):
    """What can be exported: a module in evaluation mode that knows its ports."""

    #: Whether an output hangs on an arg-max within: where two classes tie, a rounding error decides, and all that follows
    #: from that pixel differs.
    discrete: bool

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        ...

    def outputs(self) -> list[str]: ...

    def metadata(self) -> dict[str, str]: ...

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]: ...


def make_graph(model: ReleasedModel, spec: GraphSpec) -> Any:
    """A released model's ``Graph`` (an nn.Module) of a kind, batch norms folded, in evaluation mode.

    Raises ModelError for damaged weights, and for steps, a kind or samples that the network does not have.
    """
    config = model.card.network
    kind, steps, samples = spec.kind, spec.steps, spec.samples
    if kind == "stream" and config.kind in FRAME_KINDS and not config.streams:
        raise ModelError(f"model {model.id} does not stream (only a tree with a direct rollout does); use the whole window")
    if kind not in graphs_of(config):
        raise ModelError(f"model {model.id} ({config.kind}) has no graph {kind!r}; it has: {', '.join(graphs_of(config))}")
    if not 1 <= steps <= config.max_steps:
        raise ModelError(f"model {model.id} predicts 1 to {config.max_steps} steps, not {steps}")
    if samples != 1 and not config.noise_channels:
        raise ModelError(f"model {model.id} has one future only, not {samples} samples: its network takes no noise")
    if spec.batch != 1 and (spec.batch < 1 or config.kind != "hierarchical"):
        raise ModelError(f"model {model.id} ({config.kind}) takes one camera at a time, not a batch of {spec.batch}")
    network = fold_batch_norms(load_network(model))
    if config.kind in LABEL_KINDS:
        return make_label_graph(network, config, kind, steps, samples).eval()
    if isinstance(network, HierarchicalResidual) and network.config.form == "tree":
        network = FlatTree(network)
    graphs = {"whole": WholeWindow, "stream": Stream, "motion": Motion}
    return graphs[kind](network, config, spec).eval()


def probe_inputs(graph: Graph, size: tuple[int, int], seed: int = 0) -> list[Tensor]:
    """Inputs for a parity check: smooth pictures, label maps of blocks, flows of a few pixels, noise, and states of the size
    that ReLUs give."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(*shape: int) -> Tensor:
        *several, height, width = shape
        coarse = torch.rand(math.prod(several), 3, height // 8, width // 8, generator=generator)
        return nn.functional.interpolate(coarse, (height, width), mode="bilinear").unflatten(0, several)

    filled = []
    for name, zero in graph.inputs(size).items():
        if name == "frames":
            filled.append((smooth(*zero.shape[:-1]).movedim(-3, -1) * 255).byte())
        elif zero.dtype == torch.uint8:
            count, height, width = zero.shape
            blocks = torch.randint(0, CLASSES, (count, height // 8, width // 8), generator=generator)
            filled.append(blocks.repeat_interleave(8, 1).repeat_interleave(8, 2).byte())
        elif name == "flows":
            *several, height, width, _ = zero.shape
            coarse = 3 * torch.randn(math.prod(several), 2, -(-height // 16), -(-width // 16), generator=generator)
            fine = nn.functional.interpolate(coarse, (height, width), mode="bilinear").unflatten(0, several)
            filled.append(fine.movedim(-3, -1).contiguous())
        elif name == "noise":
            filled.append(torch.randn(zero.shape, generator=generator))
        else:
            filled.append(torch.randn(zero.shape, generator=generator).relu())
    return filled
