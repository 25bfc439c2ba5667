"""The future-segmentation protocol of Cityscapes (Luc 2017 and 2018; Lee 2021, section 4.4 and appendix B.3).

A snippet has 30 frames, of which the 20th is labelled. Counted from 1 and three frames apart (3/17 s):

    short term   frames 8, 11, 14, 17 are seen, frame 20 is predicted: 0.18 s ahead, step 1
    mid term     frames 2, 5, 8, 11 are seen, frames 14 to 29 are predicted, 20 is scored: 0.53 s ahead, step 3

mIoU over all snippets together, of all classes and of the 8 that move. The result has the form of any other evaluation of
label maps; its horizons are the steps 1 and 3, and a window is one snippet seen from one of the two distances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.evaluation.label_results import label_subject, write_label_results
from vidpred_ros.evaluation.label_run import write_labels
from vidpred_ros.evaluation.label_trials import LabelTrial, Origin, StructureLane, make_trial, truth_of
from vidpred_ros.evaluation.trials import Watch
from vidpred_ros.sources.base import LabelKind, Source, SourceFrame
from vidpred_ros.window import Window

#: Frames of a snippet, counted from 1: the one that is scored, the distance between frames, and what is seen.
SCORED, STRIDE, CONTEXT = 20, 3, 4
#: Steps from the last frame seen to the one that is scored: short and mid term.
TERMS = {"short": 1, "mid": 3}
#: Frame 29 from frame 11: what is predicted unless somebody asks for less. Beyond the mid term nothing is scored.
STEPS = 6
SNIPPET = 30
PROTOCOL = (
    "future segmentation (Luc 2017, 2018; Lee 2021, B.3): the 20th frame of each snippet of 30, seen from frames 8, 11, 14, 17 "
    "(short term, step 1) and from frames 2, 5, 8, 11 (mid term, step 3)"
)


class Snippets:
    """Snippets of 30 frames as one source of an evaluation."""

    def __init__(self, name: str, members: Sequence[Source]) -> None:
        self.name, self.members = name, members
        self.rate_hz = members[0].rate_hz
        self.label_kind: LabelKind | None = next((one.label_kind for one in members if one.label_kind is not None), None)

    def __len__(self) -> int:
        return sum(len(one) for one in self.members)

    def __iter__(self) -> Iterator[SourceFrame]:
        for member in self.members:
            yield from member

    def fingerprint(self) -> str:
        return hashlib.sha256("".join(one.fingerprint() for one in self.members).encode()).hexdigest()


def snippets(name: str, sources: Sequence[Source]) -> tuple[Snippets, dict[str, str]]:
    """Those of the sources that have the 20 frames that are needed, and why others are left out.

    Raises SourceError where none is left.
    """
    short = {one.name: f"{len(one)} frames; the protocol scores the {SCORED}th" for one in sources if len(one) < SCORED}
    members = [one for one in sources if one.name not in short]
    if not members:
        raise SourceError(f"{name} has no snippet of {SCORED} frames or more: {'; '.join(f'{n}: {w}' for n, w in short.items())}")
    return Snippets(name, members), short


def evaluate_future_segmentation(
    source: Snippets, lane: StructureLane, out: Path, command: str, watch: Watch = iter
) -> dict[str, Any]:
    """Score the lane by the protocol; the files are those of ``label_results.evaluate_structure``.

    Raises ConfigError for a predictor of another context or fewer steps than the mid term has, SourceError where no 20th
    frame is labelled.
    """
    predictor = lane.predictor
    if predictor.window_length != CONTEXT or predictor.steps < TERMS["mid"]:
        raise ConfigError(
            f"the future-segmentation protocol has {CONTEXT} frames in and {TERMS['mid']} steps or more out; "
            f"{predictor.model_id} has {predictor.window_length} in, --steps is {predictor.steps}"
        )
    truth = truth_of(source)

    def trials(only: Container[int] | None) -> Iterator[LabelTrial]:
        return snippet_trials(source, lane, truth, iter if only else watch, only)

    labels = write_labels(lane, trials, truth, out, kind=source.label_kind, scored=PROTOCOL)
    return write_label_results(label_subject(source, lane), labels, out, command, PROTOCOL)


def snippet_trials(
    source: Snippets, lane: StructureLane, truth: Origin, watch: Watch = iter, only: Container[int] | None = None
) -> Iterator[LabelTrial]:
    """Two trials of each snippet whose 20th frame has a label map: short term, then mid term."""
    found = False
    for number, member in enumerate(source.members):
        indices = {term: len(TERMS) * number + i for i, term in enumerate(TERMS)}
        frames = list(islice(watch(member), SNIPPET))
        if only is not None and not any(index in only for index in indices.values()):
            continue
        seen = {i: lane.see(frame) for i, frame in enumerate(frames, start=1) if (SCORED - i) % STRIDE == 0}
        for term, ahead in TERMS.items():
            if only is not None and indices[term] not in only:
                continue
            last = SCORED - STRIDE * ahead
            wanted = [last + STRIDE * i for i in range(1 - CONTEXT, lane.predictor.steps + 1)]
            # a step beyond the snippet's end is predicted, but shown beside the last frame that there is
            chosen = [seen[min(i, max(seen))] for i in wanted]
            period = round((seen[SCORED].stamp_ns - seen[last].stamp_ns) / ahead)
            both = Window(
                tuple(one.stamp_ns for one in chosen),
                tuple(one.image for one in chosen),
                epoch=indices[term],
                sequence=indices[term] * len(chosen) + len(chosen),
                period_ns=period,
            )
            if trial := make_trial(indices[term], chosen, lane, truth, both, phase=0, scored=ahead):
                found = True
                yield trial
    if not found and only is None:
        raise SourceError(f"{source.name}: no snippet has a label map of its {SCORED}th frame with a class in it")
