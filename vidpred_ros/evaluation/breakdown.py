"""Behind the means: how a score depends on motion, and how it is spread over the windows (Shouno 2020, figures 4 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidpred_ros.evaluation.scores import Score

#: Width of a bin of motion, in LPIPS of the copied last frame.
MOTION_BIN = 0.02
#: Shouno shows the distribution at this step of ten; a shorter forecast shows its last.
DISTRIBUTION_STEP = 9
DISTRIBUTION_BINS = 20


def motion_bins(scores: Sequence[Score]) -> dict[str, Any]:
    """Next-frame scores by the window's motion, which is the LPIPS of copying its last frame (Shouno's figure 4).

    ``bins`` are null, with a reason, where there is no LPIPS. A bin without windows is left out.
    """
    what = {"motion": "LPIPS of copy_last at step 1", "step": 1}
    first = [score for score in scores if score.step == 1]
    motion = {score.window: score.lpips for score in first if score.method == "copy_last"}
    known = {window: value for window, value in motion.items() if value is not None}
    if not known:
        return what | {"bins": None, "bins_reason": "motion is measured by LPIPS, which was not computed"}
    bins = []
    for i in sorted({int(value / MOTION_BIN) for value in known.values()}):
        inside = [score for score in first if int(known[score.window] / MOTION_BIN) == i]
        methods = {
            method: {
                "ssim": float(np.mean([s.ssim for s in inside if s.method == method])),
                "lpips": float(np.mean([s.lpips for s in inside if s.method == method and s.lpips is not None])),
            }
            for method in dict.fromkeys(score.method for score in inside)
        }
        limits = {"from": round(i * MOTION_BIN, 6), "to": round((i + 1) * MOTION_BIN, 6)}
        bins.append(limits | {"windows": len({s.window for s in inside}), "methods": methods})
    return what | {"bins": bins}


def distribution(scores: Sequence[Score]) -> dict[str, Any]:
    """How many windows have which LPIPS at step 9, or at the last one: counts between common edges (Shouno's figure 6)."""
    step = min(DISTRIBUTION_STEP, max(score.step for score in scores))
    what: dict[str, Any] = {"metric": "lpips", "step": step}
    here = [(score.method, score.lpips) for score in scores if score.step == step and score.lpips is not None]
    if not here:
        return what | {"edges": None, "counts": None, "reason": "LPIPS was not computed"}
    edges = np.linspace(0, max(max(value for _, value in here), 1e-6), DISTRIBUTION_BINS + 1)
    counts = {
        method: np.histogram([value for name, value in here if name == method], edges)[0].tolist()
        for method in dict.fromkeys(name for name, _ in here)
    }
    return what | {"edges": edges.round(6).tolist(), "counts": counts}
