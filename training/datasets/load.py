"""What a recipe's network learns from, by its kind: clips of frames, labelled frames, or clips of label maps."""

from __future__ import annotations

from typing import cast

from training.datasets.clips import ClipDataset
from training.datasets.frames import Sequence, open_sequences
from training.datasets.label_clips import LabelClips, LabelledFrames
from training.datasets.labels import LabelledSequence, open_labelled
from training.recipe import Recipe
from vidpred_ros.networks.config import LABEL_KINDS

Sequences = list[Sequence] | list[LabelledSequence]
Clips = ClipDataset | LabelledFrames | LabelClips


def open_training(recipe: Recipe) -> Sequences:
    """The training sequences, decoded into the cache on first use. Raises what their readers raise."""
    data = recipe.data
    if recipe.network.kind in LABEL_KINDS:
        return open_labelled(data.train, "train", recipe.needs_instances, needs_consecutive(recipe))
    return open_sequences(data.train, data.size, "train", data.crop != (1.0, 1.0))


def needs_consecutive(recipe: Recipe) -> bool:
    """Whether the network learns from label maps of frames in a row, not of single frames."""
    return recipe.context + recipe.futures > 1


def make_clips(sequences: Sequences, recipe: Recipe, length: int) -> Clips:
    """``length`` items of ``open_training``'s sequences. Raises SourceError as the data sets do."""
    config, data, seed = recipe.network, recipe.data, recipe.seed
    if config.kind not in LABEL_KINDS:
        clips = cast(list[Sequence], sequences)
        return ClipDataset(clips, data, recipe.futures, config.needs_flows, seed, length)
    labelled = cast(list[LabelledSequence], sequences)
    if config.kind == "segmenter":
        return LabelledFrames(labelled, data, seed, length)
    if config.kind == "edges":
        return LabelClips(labelled, data, 1, 0, False, False, seed, length, instances=recipe.needs_instances)
    if config.kind == "pixels":  # its losses look at the flow of every frame
        count = recipe.context + recipe.futures
        return LabelClips(labelled, data, count, 0, True, True, seed, length, instances=recipe.needs_instances)
    frames = config.kind == "structure" and config.space == "rgb"
    model = (data.motion_model or config.motion_model) if config.kind == "structure" else None
    return LabelClips(labelled, data, recipe.context, recipe.futures, config.needs_flows, frames, seed, length, model)
