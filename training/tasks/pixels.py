"""Lee 2021, section 2.2: the pixel generator against an image and a video discriminator, with vid2vid's further losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.datasets.boundaries import boundaries
from training.losses.adversarial import LOSSES, mean_logits
from training.losses.features import feature_matching
from training.losses.perceptual import VggLoss, mae
from training.recipe import PixelsLoss, Recipe
from training.tasks.hierarchical import same_crop
from vidpred_ros.motion import NextFlows
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import PixelsConfig
from vidpred_ros.networks.pixel_discriminators import VIDEO, PixelDiscriminators
from vidpred_ros.networks.pixels import PixelGenerator, PixelStep, one_hot
from vidpred_ros.networks.warping import warp

#: Squared distance, in [-1, 1] scaling and summed over RGB, below which a reference flow is trusted at a pixel (vid2vid).
TRUSTED = 0.02


class PixelsTask:
    """Equations 4 to 6 over the K frames after a clip's first tau, each made of true label maps and of frames made before.

    A generated frame is fed back without its gradient (vid2vid: max_frames_backpropagate 1). The sampling operators of the
    paper draw one frame and one run of tau' = 3 frames per update; runs that reach back before the first generated frame
    hold true frames there. Beside the adversaries, as vid2vid has it: feature matching and VGG terms, the flow against
    the classical flow of the clip, the frame before (the true one and the generated one) moved by flow against the frame;
    and with ``loss.hallucinated`` h is judged like x. L1 (``loss.mae``) is ours, for short runs.

    ``batch``: frames (B, tau + K, 3, H, W) in [0, 1], labels (B, tau + K, H, W) uint8, flows (B, tau + K, 2, H, W) in pixels: the
    backward flow of every frame; instances like labels where the data knows them (only with ``network.edges``).
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(recipe.network, PixelsConfig) and isinstance(recipe.loss, PixelsLoss)
        self.config, self.loss = recipe.network, recipe.loss
        self.generator = cast(PixelGenerator, make_network(recipe.network)).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.generator}
        self.vgg = VggLoss().to(device) if recipe.loss.vgg else None
        self.of_discriminator, self.of_generator = LOSSES[recipe.loss.gan]
        self.weight = 0.0
        self.logits: dict[str, Tensor] = {}
        if recipe.adversarial is not None:
            judges = PixelDiscriminators(self.generator.channels, recipe.loss.scales, recipe.adversarial.width)
            self.networks["discriminator"] = judges.to(device)
            self.weight = recipe.adversarial.weight

    def losses(
        self, which: str, batch: dict[str, Tensor], rng: np.random.Generator, adversarial: bool
    ) -> dict[str, Tensor]:
        frames, flows, past = batch["frames"], batch["flows"], self.config.past
        structures = self.structures(batch)
        if which == "discriminator":
            with torch.no_grad():
                steps = self.roll(frames, structures, batch["labels"])
            return {"discriminator": self.judged(frames, structures, flows, steps, rng)[0]}
        steps = self.roll(frames, structures, batch["labels"])
        losses = self.reconstruction(frames[:, past:], steps, rng) | self.motion(frames, flows, steps)
        if adversarial:
            _, fooled, matched = self.judged(frames, structures, flows, steps, rng)
            losses["adversarial"] = self.weight * fooled
            if self.loss.features:
                losses["features"] = self.loss.features * matched
        return losses

    def structures(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, T, C[+1], H, W): one-hot label maps, with their boundaries if the network takes them."""
        onehot = one_hot(batch["labels"], self.config.classes)
        if not self.config.edges:
            return onehot
        edges = boundaries(batch["labels"], batch.get("instances"))
        return torch.cat([onehot, edges.unsqueeze(2).float()], dim=2)

    def roll(self, frames: Tensor, structures: Tensor, labels: Tensor) -> list[PixelStep]:
        """The K steps after the first tau frames, each from what was made of those before, its motion prior too: true flow
        would tell what the label maps are there to tell."""
        past = self.config.past
        seen, steps = list(frames[:, :past].unbind(1)), []
        for t in range(past, frames.shape[1]):
            prior = next_flows(seen[-2:], labels[:, t - 1 : t + 1]) if self.config.motion_prior == "dis" else None
            steps.append(self.generator(torch.stack(seen[-past:], dim=1), structures[:, t - past : t + 1], prior))
            seen.append(steps[-1].frame.detach())
        return steps

    def reconstruction(self, true: Tensor, steps: list[PixelStep], rng: np.random.Generator) -> dict[str, Tensor]:
        """L1 and VGG terms of (B, K, 3, H, W) frames, averaged over the K; of x, and of h too where that is wanted."""
        wanted, losses = true.flatten(0, 1), {}
        made = [torch.stack([step.frame for step in steps], dim=1).flatten(0, 1)]
        if self.loss.hallucinated:
            made.append(torch.stack([step.hallucinated for step in steps], dim=1).flatten(0, 1))
        if self.loss.mae:
            losses["mae"] = self.loss.mae * torch.stack([mae(picture, wanted) for picture in made]).sum()
        if self.vgg is not None:
            terms = []
            for picture in made:
                a, b = (picture, wanted) if self.loss.vgg_crop is None else same_crop(picture, wanted, self.loss.vgg_crop, rng)
                terms.append(self.vgg(a, b))
            losses["vgg"] = self.loss.vgg * torch.stack(terms).sum()
        return losses

    def motion(self, frames: Tensor, flows: Tensor, steps: list[PixelStep]) -> dict[str, Tensor]:
        """The flow and warp terms, averaged over frames, where the reference flow can be trusted. Colours are in [-1, 1]."""
        past = self.config.past
        terms: dict[str, list[Tensor]] = {"flow": [], "warp": []}
        before = frames[:, past - 1]  # the frame that step k was made from: true, then generated
        for k, step in enumerate(steps):
            true_before, true, flow = frames[:, past + k - 1], frames[:, past + k], flows[:, past + k]
            trusted = trust(true, true_before, flow)
            moved, followed = warp(true_before, step.flow, "bilinear"), warp(before, flow, "bilinear")
            terms["flow"].append((trusted * (step.flow - flow)).abs().mean())
            terms["warp"].append(2 * ((trusted * (moved - true)).abs().mean() + (trusted * (step.frame - followed)).abs().mean()))
            before = step.frame.detach()
        weights = {"flow": self.loss.flow, "warp": self.loss.warp}
        return {name: weights[name] * torch.stack(values).mean() for name, values in terms.items() if weights[name]}

    def judged(
        self, frames: Tensor, structures: Tensor, flows: Tensor, steps: list[PixelStep], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of the discriminators, adversarial and feature losses of the generator, for what phi_I and phi_V draw."""
        judges, past = cast(PixelDiscriminators, self.networks["discriminator"]), self.config.past
        k = int(rng.integers(len(steps)))
        structure = structures[:, past + k]
        real = judges.judge_frame(frames[:, past + k], structure)
        pairs = [(real, judges.judge_frame(steps[k].frame, structure))]
        if self.loss.hallucinated:
            pairs.append((real, judges.judge_frame(steps[k].hallucinated, structure)))
        last = int(rng.integers(max(past, VIDEO - 1), frames.shape[1]))
        made = torch.stack([*frames[:, :past].unbind(1), *(step.frame for step in steps)], dim=1)
        run, between = slice(last - VIDEO + 1, last + 1), flows[:, last - VIDEO + 2 : last + 1]
        pairs.append((judges.judge_video(frames[:, run], between), judges.judge_video(made[:, run], between)))
        self.logits = mean_logits(*([a[-1] for pair in pairs for a in pair[which]] for which in (0, 1)))
        told, fooled, matched = [], [], []
        for true, fake in pairs:
            for a, b in zip(true, fake, strict=True):
                told.append(self.of_discriminator(a[-1], b[-1]))
                fooled.append(self.of_generator(b[-1]))
                matched.append(feature_matching(a[:-1], b[:-1]) / len(true))
        return torch.stack(told).sum(), torch.stack(fooled).sum(), torch.stack(matched).sum()


def next_flows(frames: Sequence[Tensor], labels: Tensor) -> Tensor:
    """(B, 3, 2, H, W): ``motion.NextFlows`` of two frames (B, 3, H, W) in [0, 1], as bytes, and of label maps (B, 2, H, W) uint8."""
    before, now = (frame.permute(0, 2, 3, 1).mul(255).round().byte().cpu().numpy() for frame in frames)
    flow = NextFlows()
    maps = labels.cpu().numpy()
    found = [flow((a, b), (one[0], one[1])) for a, b, one in zip(before, now, maps, strict=True)]
    return torch.from_numpy(np.stack(found)).permute(0, 1, 4, 2, 3).to(labels.device)


def trust(frame: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """(B, 1, H, W) float: 1 where the frame before, moved by a reference flow, looks like the frame. Frames in [0, 1]."""
    distance = 4 * (frame - warp(before, flow, "bilinear")).pow(2).sum(1, keepdim=True)
    return (distance < TRUSTED).float()
