"""Scores of a network in training on sequences that it does not learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Many
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.datasets.frames import Sequence
from training.datasets.labels import LabelledSequence
from training.recipe import Recipe
from vidpred_ros.errors import SourceError
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.window import stride_for

Image = NDArray[np.uint8]
SCORED = ("ssim", "psnr", "lpips")
#: Windows of each sequence that are scored: enough to see a trend, quick enough to do it often.
WINDOWS = 12


def window_inputs(frames: NDArray[np.uint8], flows: bool) -> tuple[Tensor, Tensor | None]:
    """Frames N x H x W x 3 uint8 as the network takes them: (1, N, 3, H, W) in [0, 1], (1, N, 2, H, W) or None."""
    images = torch.from_numpy(frames.transpose(0, 3, 1, 2).astype(np.float32) / 255)[None]
    if not flows:
        return images, None
    dis, grays = DisFlow(), [gray(f) for f in frames]
    fields = [np.zeros((*grays[0].shape, 2), np.float32)]
    fields += [dis(now, before) for before, now in pairwise(grays)]
    return images, torch.from_numpy(np.stack(fields).transpose(0, 3, 1, 2))[None]


def scored_steps(recipe: Recipe) -> list[int]:
    """The steps that are scored: 1 and 5, or the last one that the network offers."""
    return sorted({1, min(5, recipe.network.max_steps)})


def check_long_enough(sequences: list[Sequence], recipe: Recipe) -> None:
    """Raises SourceError for a sequence that holds no window and the future frames to score it with."""
    needed = WINDOW + scored_steps(recipe)[-1]
    for sequence in sequences:
        stride = stride_for(sequence.rate_hz, recipe.data.period)
        count = max(len(range(0, len(part), stride)) for part in sequence.parts())
        if count < needed:
            gap = " without a gap in time" if sequence.breaks else ""
            raise SourceError(
                f"{sequence.name}: {count} frames at a stride of {stride}{gap}, but validation needs {needed}; take it out of "
                "data.validate_on or give a longer one"
            )


def scored_windows(sequence: Sequence, stride: int, count: int) -> list[NDArray[np.uint8]]:
    """WINDOWS windows of ``count`` frames, ``stride`` apart, spread over the sequence, without one that reaches over a gap."""
    windows = [
        (frames, start)
        for frames in (part.frames[::stride] for part in sequence.parts())
        for start in range(len(frames) - count + 1)
    ]
    chosen = np.unique(np.linspace(0, len(windows) - 1, WINDOWS).round().astype(int))
    return [frames[start : start + count] for frames, start in (windows[i] for i in chosen)]


def short_names(sequences: Many[Sequence | LabelledSequence]) -> list[str]:
    """The last parts of the sequences' names, as many as tell them apart; of KITTI raw (DRIVE/image_02/data) at least two."""
    parts, lengths = [], []
    for sequence in sequences:
        place, mark, options = sequence.name.partition("?")
        path = place.rstrip("/")
        lengths.append(2 if path.endswith("/data") else 1)
        *folders, last = path.removesuffix("/data").split("/")
        parts.append([*folders, last + mark + options])
    names: list[str] = []
    for _ in range(max(map(len, parts), default=0)):
        names = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        times = Counter(names)
        lengths = [length + (times[name] > 1) for length, name in zip(lengths, names, strict=True)]
    return names


@torch.no_grad()
def validate(network: nn.Module, sequences: list[Sequence], recipe: Recipe) -> tuple[dict[str, float], dict[str, Image]]:
    """Mean SSIM, PSNR and LPIPS at step 1 and at step 5 (or the last, if that is less), and a strip of each sequence.

    Scores are {"NAME ssim@1": ...}; a strip shows the newest frame, then above the true frames of the scored steps and
    below the predicted ones, of the sequence's middle window. A stochastic network predicts with its prior's mean. The
    network may be on any device. Raises SourceError for a sequence that is too short (``check_long_enough``).
    """
    network.eval()
    metrics = FrameMetrics()
    device = next(network.parameters()).device
    wanted = scored_steps(recipe)
    check_long_enough(sequences, recipe)
    steps = wanted if recipe.network.rollout == "direct" else list(range(1, wanted[-1] + 1))
    scores: dict[str, float] = {}
    strips: dict[str, Image] = {}
    for name, sequence in zip(short_names(sequences), sequences, strict=True):
        windows = scored_windows(sequence, stride_for(sequence.rate_hz, recipe.data.period), WINDOW + wanted[-1])
        got: dict[str, list[float]] = {}
        for number, window in enumerate(windows):
            clip = np.ascontiguousarray(window[:WINDOW])
            images, flows = window_inputs(clip, recipe.network.needs_flows)
            flows = None if flows is None else flows.to(device)
            predicted = network(images.to(device), flows, steps)[0]
            futures = predicted.permute(0, 2, 3, 1).mul(255).round().byte().cpu().numpy()[[steps.index(k) for k in wanted]]
            true = np.stack([np.asarray(window[WINDOW - 1 + k]) for k in wanted])
            for k, values in zip(wanted, metrics(futures, true), strict=True):
                for metric in SCORED:
                    if values[metric] is not None:
                        got.setdefault(f"{metric}@{k}", []).append(values[metric])
            if number == len(windows) // 2:
                columns = [np.concatenate([clip[-1], clip[-1]])]
                columns += [np.concatenate([real, guess]) for real, guess in zip(true, futures, strict=True)]
                strips[name] = np.concatenate(columns, axis=1)
        scores |= {f"{name} {metric}": float(np.mean(values)) for metric, values in got.items()}
    network.train()
    return scores, strips


def overall(scores: dict[str, float]) -> float | None:
    """What decides the best checkpoint, less is better: mean LPIPS at step 1, or 1 - SSIM where there is no LPIPS.

    Of label maps 1 - mIoU of all classes, averaged over sequences and steps; of boundaries 1 - F1.
    """
    for metric in ("lpips@1", "ssim@1", "miou", "f1"):
        values = [value for name, value in scores.items() if f"{name.rpartition(' ')[2]}@".startswith(f"{metric}@")]
        if values:
            return float(np.mean(values)) if metric == "lpips@1" else 1 - float(np.mean(values))
    return None
