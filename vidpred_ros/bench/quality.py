"""What int8 costs in quality, as the released networks' int8.json has it: too slow to measure in passing."""

from __future__ import annotations

import numpy as np

from vidpred_ros.bench.goals import LPIPS_GOAL_PERCENT, RELEASED, Ratio
from vidpred_ros.errors import ModelError
from vidpred_ros.models import find_model

#: What ``training/precision_scores.py`` calls the two that are compared.
FP32, INT8 = "fp32", "int8 (OpenVINO)"


def int8_ratios() -> tuple[list[Ratio], dict[str, str]]:
    """By how many percent LPIPS one frame ahead is worse in int8, and what is left out with the reason.

    The mean over the sequences that were scored, none of which was calibrated on.
    """
    found, left_out = [], {}
    for model in RELEASED:
        name = f"LPIPS of OpenVINO int8 over its own fp32, {model}"
        try:
            scores = find_model(model).int8.scores
        except ModelError as error:
            left_out[name] = str(error)
            continue
        lpips = {(one["source"], one["precision"]): one["lpips"] for one in scores if one["step"] == 1}
        sources = sorted({source for source, precision in lpips if precision == INT8})
        if not sources:
            left_out[name] = f"its int8.json holds no scores: `python -m training.precision_scores {model} SEQUENCE... --card`"
            continue
        fp32, int8 = (np.mean([lpips[source, precision] for source in sources]) for precision in (FP32, INT8))
        measured = float(100 * (int8 / fp32 - 1))
        found.append(Ratio(f"{name} ({', '.join(sources)})", measured, LPIPS_GOAL_PERCENT, "lower", "% worse"))
    return found, left_out
