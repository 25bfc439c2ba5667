"""Scores of a network of the label-map side in training, on sequences that it does not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.datasets.boundaries import boundaries
from training.datasets.clips import channels_first, resized
from training.datasets.foretold import Foretold
from training.datasets.label_clips import check_frames, resized_labels
from training.datasets.labels import LabelledSequence
from training.recipe import Recipe
from training.tasks.pixels import next_flows
from training.validate import SCORED, scored_steps, short_names
from vidpred_ros.errors import SourceError
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.metrics.segmentation import ConfusionMatrix
from vidpred_ros.motion import DisFlow, gray, guessed_labels
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.networks.pixels import one_hot
from vidpred_ros.preprocess import crop_window
from vidpred_ros.semantics import colorize
from vidpred_ros.window import stride_for

Image = NDArray[np.uint8]
#: Windows of each sequence that are scored, and frames for a network of single frames: enough to see a trend, quick enough.
WINDOWS, FRAMES = 12, 24
#: Of many sequences fewer of each are scored, about this many in all, at least one.
TOTAL = 500
SINGLE = ("segmenter", "edges")


@dataclass(frozen=True)
class Window:
    """T label maps that a network sees and the K that follow, with what else it needs, all at ``data.size``."""

    labels: Image  # T + K x H x W
    frames: Image | None = None  # T + K x H x W x 3
    flows: NDArray[np.float32] | None = None  # T x H x W x 2: the backward flow of each frame that it sees
    moved: Image | None = None  # T - 1 + K x H x W, as in training (LabelClips)


@dataclass(frozen=True)
class HeldOut:
    """A sequence that is scored: its short name and its windows, made once."""

    name: str
    windows: list[Window]


def makes_frames(recipe: Recipe) -> bool:
    """Whether the network's output is a frame, not a label map."""
    return recipe.network.kind == "pixels" or (recipe.network.kind == "structure" and recipe.network.space == "rgb")


def steps_ahead(recipe: Recipe) -> list[int]:
    """The steps that are scored; 0 for a network of single frames."""
    return [0] if recipe.network.kind in SINGLE else scored_steps(recipe)


def hold_out(sequences: list[LabelledSequence], recipe: Recipe) -> list[HeldOut]:
    """The windows that are scored. Raises SourceError for a sequence that holds none, or no frames where they are needed."""
    config = recipe.network
    flows = config.needs_flows
    if flows or makes_frames(recipe) or config.kind == "segmenter":
        check_frames(sequences, "validation needs them")
    model = config.motion_model if config.kind == "structure" else None
    foretold = Foretold(model, steps_ahead(recipe)[-1]) if model else None
    before = (WINDOW if model else recipe.context) - recipe.context + flows  # frames before the window: for flow
    most = FRAMES if config.kind in SINGLE else WINDOWS
    most = max(1, min(most, TOTAL // max(1, len(sequences))))
    made = []
    for name, sequence in zip(short_names(sequences), sequences, strict=True):
        stride = 1 if config.kind in SINGLE else stride_for(sequence.rate_hz, recipe.data.period)
        span = (before + recipe.context + steps_ahead(recipe)[-1] - 1) * stride + 1
        every = [first for run in sequence.runs() for first in range(run.first, run.first + run.length - span + 1)]
        if not every:
            raise SourceError(
                f"{sequence.name}: nowhere {span} frames with label maps in a row, which validation needs; take it out of "
                "data.validate_on or give a longer one"
            )
        chosen = np.unique(np.linspace(0, len(every) - 1, most).round().astype(int))
        places = [slice(every[i], every[i] + span, stride) for i in chosen]
        made.append(HeldOut(name, [cut(sequence, place, before, recipe, foretold) for place in places]))
    return made


def cut(sequence: LabelledSequence, where: slice, before: int, recipe: Recipe, foretold: Foretold | None) -> Window:
    """A window from the largest centred part of the network's or ``data``'s shape; the first ``before`` frames are for flow."""
    size, seen = getattr(recipe.network, "size", recipe.data.size), before + recipe.context
    labels = sequence.labels[where]
    top, left, height, width = crop_window(labels.shape[1], labels.shape[2], size)
    part = (slice(None), slice(top, top + height), slice(left, left + width))
    maps = resized_labels(labels[part], size)[before:]
    if sequence.frames is None or recipe.network.kind in ("edges", "s2s"):
        return Window(maps)
    frames = resized(sequence.frames[where][part], size)
    if not recipe.network.needs_flows:
        return Window(maps, frames)
    dis, grays = DisFlow(), [gray(frame) for frame in frames[:seen]]
    flows = np.stack([dis(now, earlier) for earlier, now in pairwise(grays)])
    motions = foretold(frames[seen - WINDOW : seen], flows) if foretold else None
    flows = flows[-recipe.context :]
    moved = guessed_labels(maps[: recipe.context], flows, steps_ahead(recipe)[-1], motions)
    return Window(maps, frames[before:] if makes_frames(recipe) else None, flows, moved)


@torch.no_grad()
def validate_labels(
    network: nn.Module, held_out: list[HeldOut], recipe: Recipe
) -> tuple[dict[str, float], dict[str, Image]]:
    """Scores by name, and a strip of each sequence's middle window: what is seen last, then truth above prediction.

    Segmenter: mIoU of all classes that are there ("NAME miou") and of those that move ("NAME miou_moving"), over all
    pixels that are scored. Structure generator and S2S: the same by step ("NAME miou@1"), with the prior's mean. Edge
    generator: F1 of boundary pixels ("NAME f1"). Pixel generator, given the true label maps, and a structure generator of
    frames: SSIM, PSNR and LPIPS by step ("NAME ssim@1"). What cannot be scored, as no moving class is there, is left out.
    """
    network.eval()
    device, wanted = next(network.parameters()).device, steps_ahead(recipe)
    scores: dict[str, float] = {}
    strips: dict[str, Image] = {}
    for sequence in held_out:
        name, windows = sequence.name, sequence.windows
        true = np.stack([truth(window, recipe) for window in windows])
        made = np.stack([predicted(network, window, recipe, device) for window in windows])
        for i, k in enumerate(wanted):
            found = score(true[:, i], made[:, i], recipe)
            scores |= {f"{name} {metric}" + (f"@{k}" if k else ""): value for metric, value in found.items()}
        middle = len(windows) // 2
        strips[name] = strip(windows[middle], true[middle], made[middle], recipe)
    network.train()
    return scores, strips


def truth(window: Window, recipe: Recipe) -> Image:
    """What should be predicted at each of the scored steps: label maps HxW, frames HxWx3, or boundaries HxW of 0 and 1."""
    which = [recipe.context - 1 + k for k in steps_ahead(recipe)]
    if makes_frames(recipe):
        assert window.frames is not None
        return window.frames[which]
    if recipe.network.kind == "edges":
        return boundaries(torch.from_numpy(window.labels[which])).byte().numpy()
    return window.labels[which]


def predicted(network: nn.Module, window: Window, recipe: Recipe, device: torch.device) -> Image:
    """What the network makes of a window at each of the scored steps, as ``truth`` has it."""
    config, seen = recipe.network, recipe.context
    labels = torch.from_numpy(window.labels).to(device)[None]
    frames = None if window.frames is None else as_input(window.frames).to(device)[None]
    if config.kind == "segmenter":
        assert frames is not None
        return network(frames[0]).argmax(1).byte().cpu().numpy()
    if config.kind == "edges":
        return (network(one_hot(labels[0], config.classes))[:, 0] > 0.5).byte().cpu().numpy()
    later = [k - 1 for k in steps_ahead(recipe)]
    if config.kind == "pixels":
        assert frames is not None
        structures = one_hot(labels, config.classes)
        if config.edges:
            structures = torch.cat([structures, boundaries(labels)[:, :, None].float()], dim=2)
        made = list(frames[:, :seen].unbind(1))
        for k in range(later[-1] + 1):
            prior = next_flows(made[-2:], labels[:, seen + k - 1 : seen + k + 1]) if config.motion_prior == "dis" else None
            made.append(network(torch.stack(made[-seen:], dim=1), structures[:, k : k + seen + 1], prior).frame)
        return as_frames(torch.cat(made[seen:])[later])
    moved, flows, steps = None, None, later[-1] + 1
    if window.flows is not None and window.moved is not None:
        moved = torch.from_numpy(window.moved).to(device)[None]
        flows = torch.from_numpy(channels_first(window.flows, False)).to(device)[None]
    if makes_frames(recipe):
        assert frames is not None
        return as_frames(network(frames[:, :seen], None, None, steps)[0, later])
    return network(labels[:, :seen], moved, flows, steps)[0, later].argmax(1).byte().cpu().numpy()


def as_input(frames: Image) -> Tensor:
    """N x H x W x 3 uint8 to (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(channels_first(frames, False).astype(np.float32) / 255)


def as_frames(images: Tensor) -> Image:
    """(N, 3, H, W) in [0, 1] to N x H x W x 3 uint8."""
    return images.permute(0, 2, 3, 1).mul(255).round().byte().cpu().numpy()


def score(true: Image, made: Image, recipe: Recipe) -> dict[str, float]:
    """The metrics of N pairs; without those that cannot be computed."""
    values: dict[str, float | None]
    if makes_frames(recipe):
        each = FrameMetrics()(made, true)
        values = {name: None if each[0][name] is None else float(np.mean([one[name] for one in each])) for name in SCORED}
    elif recipe.network.kind == "edges":
        found = 2 * np.logical_and(true, made).sum() / max(1, true.sum(dtype=np.int64) + made.sum(dtype=np.int64))
        values = {"f1": float(found)}
    else:
        matrix = ConfusionMatrix()
        matrix.update(true, made)
        values = matrix.scores()
    return {name: value for name, value in values.items() if value is not None}


def strip(window: Window, true: Image, made: Image, recipe: Recipe) -> Image:
    """What the network saw last, twice, and beside it, for each scored step, what is true above what it made."""
    last, from_frames = recipe.context - 1, makes_frames(recipe) or recipe.network.kind == "segmenter"
    now = window.frames[last] if window.frames is not None and from_frames else colorize(window.labels[last])
    columns = [[now, now], *([shown(real), shown(guess)] for real, guess in zip(true, made, strict=True))]
    return np.concatenate([np.concatenate(column) for column in columns], axis=1)


def shown(picture: Image) -> Image:
    """A frame, a label map or boundaries (0 and 1: as road and sidewalk) as a picture HxWx3."""
    return picture if picture.ndim == 3 else colorize(picture)
