"""What the sway head learns: regression on the flows of the training sequences, before any image is predicted.

The image losses would teach it slowly, since a forecast that is several pixels off has hardly a gradient towards the
right place, and wrongly: with them on, it foretold less of a validation sequence's shifts than before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from training.datasets.clips import ClipDataset
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.heads import JOLTS, Sway, jolt
from vidpred_ros.preprocess import crop_and_resize

#: Frames that are looked at, at most; of a larger data set every n-th sequence is taken.
FRAMES = 20_000
UPDATES, BATCH, RATE = 3000, 256, 3e-3
#: Strong, or a few hundred windows are learnt by heart and the rocking of another car is foretold wrongly.
DECAY = 0.3
#: Error, in pixels, above which the loss grows linearly: a jump of the flow is no jolt of the car.
LARGE = 1.0


def fit_sway(sway: Sway, clips: ClipDataset, steps: int, seed: int) -> float:
    """Fit ``sway`` to what followed the jolts in the training sequences; returns the share of the variance that it foretells.

    The vertical shift's, on the samples themselves. Clips are shrunk, mirrored and weighted as in training.
    """
    past, future, known, weights = samples(clips, steps)
    if not len(past):
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    device = sway.linear.weight.device
    optimizer = torch.optim.AdamW(sway.parameters(), RATE, weight_decay=DECAY)
    zoom = torch.tensor(clips.data.crop)
    for update in range(UPDATES):
        drawn = torch.multinomial(weights, BATCH, replacement=True, generator=generator)
        # a crop of a share s of the picture moves 1 / s as many pixels, a mirrored one the other way
        scale = 1 / (zoom[0] + (zoom[1] - zoom[0]) * torch.rand(BATCH, 1, 1, generator=generator))
        mirror = torch.ones(BATCH, 1, 2)
        mirror[:, 0, 0] -= 2.0 * (torch.rand(BATCH, generator=generator) < clips.data.flip)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - update / UPDATES)
        guessed = sway((past[drawn] * scale * mirror).to(device))
        errors = F.smooth_l1_loss(guessed, (future[drawn] * scale * mirror).to(device), beta=LARGE, reduction="none")
        there = known[drawn].to(device)
        loss = (errors * there).sum() / there.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shares = weights[:, None] * known[..., 0]
    with torch.no_grad():
        error = (sway(past.to(device)).cpu() - future)[..., 1].square()
    return float(1 - (shares * error).sum() / (shares * future[..., 1].square()).sum())


def samples(clips: ClipDataset, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of all windows: jolts (N, JOLTS, 2), newest first; shifts (N, steps, 2) that followed; which of the shifts are known
    (N, steps, 1; a sequence ends), 0 or 1; how often each window is drawn (N,).

    A shift is what the camera turned by step k beyond its turning at the window's end: the sum of k flows, less k times
    the newest. Pixels of ``data.size``. All windows of a sequence together count by the square root of their weight in
    training: short sequences are other cars, and there are too few of them otherwise.
    """
    past: list[Tensor] = []
    future: list[Tensor] = []
    known: list[Tensor] = []
    weights: list[float] = []
    choices = list(zip(clips.choices, clips.deck.weights, strict=True))
    choices = choices[:: 1 + sum(len(sequence.frames) for (sequence, _), _ in choices) // FRAMES]
    for (sequence, stride), weight in track(choices, "sway", console=Console(stderr=True), transient=True):
        if not weight:
            continue
        before = len(past)
        for phase in range(stride):
            changes = torch.cat([torch.zeros(0, 2), *jolts(sequence.frames[phase::stride], clips.data.size)])
            for now in range(JOLTS, len(changes)):
                after = changes[now : now + steps].cumsum(0).cumsum(0)
                past.append(changes[now - JOLTS : now].flip(0))
                future.append(F.pad(after, (0, 0, 0, steps - len(after))))
                known.append((torch.arange(steps) < len(after)).float()[:, None])
        count = len(past) - before
        weights += [(weight / count) ** 0.5] * count
    if not past:
        return torch.zeros(0, JOLTS, 2), torch.zeros(0, steps, 2), torch.zeros(0, steps, 1), torch.zeros(0)
    return torch.stack(past), torch.stack(future), torch.stack(known), torch.tensor(weights)


def jolts(frames: NDArray[np.uint8], size: tuple[int, int]) -> Iterator[Tensor]:
    """The change of the camera's motion at each frame from the third on, (1, 2) in pixels of ``size``."""
    dis = DisFlow()
    flows = (
        torch.from_numpy(dis(now, before)).permute(2, 0, 1)[None]
        for before, now in pairwise(gray(crop_and_resize(frame, size)) for frame in frames)
    )
    for before, now in pairwise(flows):
        yield jolt(before, now)
