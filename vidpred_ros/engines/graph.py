"""The networks as engines see them: uint8 frames in, futures out, batch norms folded. Imports torch."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidpred_ros.errors import ModelError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual

#: Convolutions and the batch norms that follow them, by attribute name, in every block of the network.
FOLDED = {"conv1": "bn1", "conv2": "bn2", "skip": "bn_skip", "up": "bn_up"}


def load_network(model: ReleasedModel) -> HierarchicalResidual:
    """The trained network in evaluation mode, float32. Raises ModelError when the weights are not this network's."""
    network = HierarchicalResidual(model.card.network)
    try:
        weights = {name: w.float() if w.is_floating_point() else w for name, w in load_file(model.verified_weights).items()}
        network.load_state_dict(weights)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - safetensors and torch raise many kinds for a wrong or damaged file
        raise ModelError(f"{model.weights}: not the weights of {model.card.network!r}: {error}") from None
    return network.eval().requires_grad_(False)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Merge each batch norm into the convolution before it, in place: TensorRT refuses graphs that keep them."""
    for block in network.modules():
        for conv, norm in FOLDED.items():
            if hasattr(block, conv) and hasattr(block, norm):
                setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
    return network


def images(frames: Tensor) -> Tensor:
    """N x H x W x 3 uint8 to N x 3 x H x W float32 in [0, 1]."""
    return frames.permute(0, 3, 1, 2).float() / 255


class WholeWindow(nn.Module):
    """frames (8, H, W, 3) uint8, flows (8, H, W, 2) float32 -> futures (K, H, W, 3) float32 in [0, 1]."""

    def __init__(self, network: HierarchicalResidual, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, list(range(1, steps + 1))

    def forward(self, frames: Tensor, flows: Tensor | None = None) -> Tensor:
        flow = None if flows is None else flows.permute(0, 3, 1, 2)[None]
        return self.network(images(frames)[None], flow, self.steps)[0].permute(0, 2, 3, 1)

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        inputs = {"frames": torch.zeros(8, *size, 3, dtype=torch.uint8)}
        if self.network.config.motion_prior != "none":
            inputs["flows"] = torch.zeros(8, *size, 2)
        return inputs

    def outputs(self) -> list[str]:
        return ["futures"]

    def metadata(self) -> dict[str, str]:
        return {}


class Stream(nn.Module):
    """frames (2, H, W, 3) uint8 and flows (2, H, W, 2) of the last frame and the new one, past states
    -> futures (K, H, W, 3), new states (tree form)."""

    def __init__(self, network: HierarchicalResidual, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, list(range(1, steps + 1))
        self.names = list(network.state_delays())

    def forward(self, frames: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        flows, past = None, others
        if self.network.config.motion_prior != "none":
            flows, past = others[0].permute(0, 3, 1, 2)[None], others[1:]
        states = dict(zip(self.names, past, strict=True))
        futures, kept = self.network.step(images(frames)[None], flows, states, self.steps)
        return futures[0].permute(0, 2, 3, 1), *(kept[name] for name in self.names)

    def inputs(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Zero inputs by name, with the shapes and dtypes of the graph."""
        inputs = {"frames": torch.zeros(2, *size, 3, dtype=torch.uint8)}
        if self.network.config.motion_prior != "none":
            inputs["flows"] = torch.zeros(2, *size, 2)
        shapes = self.network.state_shapes(size)
        return inputs | {f"past_{name}": torch.zeros(1, *shapes[name]) for name in self.names}

    def outputs(self) -> list[str]:
        return ["futures", *self.names]

    def metadata(self) -> dict[str, str]:
        """After how many frames each state that goes out comes back in."""
        return {"vidpred.delays": json.dumps(self.network.state_delays())}


def can_stream(network: HierarchicalResidual) -> bool:
    """Only the tree form's activations depend on a fixed set of frames, and only a direct rollout leaves them alone."""
    return network.config.form == "tree" and network.config.rollout == "direct"


def make_graph(network: HierarchicalResidual, kind: str, steps: int) -> WholeWindow | Stream:
    """The graph of a kind ("whole" or "stream") with batch norms folded. Raises ModelError if it cannot stream."""
    if kind == "stream" and not can_stream(network):
        raise ModelError("only the tree form with a direct rollout streams; use the whole window")
    fold_batch_norms(network)
    return Stream(network, steps) if kind == "stream" else WholeWindow(network, steps)


def probe_inputs(graph: WholeWindow | Stream, size: tuple[int, int], seed: int = 0) -> Sequence[Tensor]:
    """Inputs for a parity check: smooth pictures, flows of a few pixels, states of the size that ReLUs give."""
    generator = torch.Generator().manual_seed(seed)
    filled = []
    for name, zero in graph.inputs(size).items():
        if name == "frames":
            coarse = torch.rand(len(zero), 3, size[0] // 8, size[1] // 8, generator=generator)
            smooth = nn.functional.interpolate(coarse, size, mode="bilinear")
            filled.append((smooth.permute(0, 2, 3, 1) * 255).byte())
        elif name == "flows":
            coarse = 3 * torch.randn(len(zero), 2, size[0] // 16, size[1] // 16, generator=generator)
            filled.append(nn.functional.interpolate(coarse, size, mode="bilinear").permute(0, 2, 3, 1).contiguous())
        else:
            filled.append(torch.randn(zero.shape, generator=generator).relu())
    return filled
