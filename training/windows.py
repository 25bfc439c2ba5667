"""Windows of a SOURCE for what a released model is measured by, and the model at work on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

from vidpred_ros.engines.choice import EngineChoice
from vidpred_ros.errors import ConfigError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.networks.config import FRAME_KINDS
from vidpred_ros.predictors import make_predictor
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.segmenters.released import Released
from vidpred_ros.sources import open_source
from vidpred_ros.window import FrameWindow, Window, stride_for


def windows(name: str, model: ReleasedModel, future: int = 0) -> Iterator[Window]:
    """Every window of a source, at a model's size and period, that many frames longer than the model sees; of a camera that is
    faster than the model those of every phase, one phase after the other."""
    source, card = open_source(name), model.card
    for phase in range(stride_for(source.rate_hz, card.period)):
        kept = FrameWindow(card.period, card.window + future)
        for frame in islice(source, phase, None):
            if kept.offer(frame.stamp_ns, frame.image.shape).take:
                kept.push(frame.stamp_ns, crop_and_resize(frame.image, card.size))
                full = kept.window()
                if full is not None:
                    yield full


@contextmanager
def at_work(model: ReleasedModel, kind: str, steps: int, choice: EngineChoice) -> Iterator[Callable[[Window], Any]]:
    """What makes a model's graph of a kind ("whole" or "segment") run on a window. Raises ConfigError for another kind."""
    if kind == "segment":
        with closing(Released(model, choice)) as segmenter:
            yield lambda window: segmenter.segment(window.frames[-1])
    elif kind == "whole" and model.card.network.kind in FRAME_KINDS:
        with closing(make_predictor(model, choice, steps, stream=False)) as predictor:
            yield predictor.predict
    else:
        raise ConfigError(f"model {model.id} ({model.card.network.kind}) stays in float: int8 is for frame predictors and segmenters")
