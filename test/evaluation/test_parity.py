"""How far apart two predictors are, with predictors whose difference is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vidpred_ros.engines.base import Arrays
from vidpred_ros.evaluation import parity as module
from vidpred_ros.evaluation.parity import LIMITS, compare
from vidpred_ros.evaluation.trials import NoWindowError
from vidpred_ros.metrics.frames import ssim
from vidpred_ros.sources import open_source
from vidpred_ros.window import Window

SIZE, STEPS, LENGTH = (32, 64), 2, 3
DRIVE = "synthetic:seed=1,seconds=2,rate=10,width=64,height=32"
WINDOWS = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOWS", WINDOWS)


class Copies:
    """The last frame, and its red as labels and as a motion; then changed."""

    size, period_s, window_length, steps = SIZE, 0.1, LENGTH, STEPS

    def __init__(self, change: Callable[[Arrays], Arrays] = lambda arrays: arrays) -> None:
        self._change = change
        self.stamps: list[int] = []

    def __call__(self, window: Window) -> Arrays:
        self.stamps.append(window.stamps_ns[-1])
        last = window.frames[-1]
        return self._change(
            {"futures": np.stack([last] * STEPS), "labels": last[..., 0], "motions": last[..., 0].astype(np.float32)}
        )

    def close(self) -> None:
        pass


def darker(by: int) -> Callable[[Arrays], Arrays]:
    def change(arrays: Arrays) -> Arrays:
        futures = arrays["futures"].astype(int)
        return arrays | {"futures": np.where(futures >= by, futures - by, futures + by).astype(np.uint8)}

    return change


def test_equal_ones_do_not_differ_and_see_the_same_windows() -> None:
    reference, candidate = Copies(), Copies()
    parity = compare(reference, candidate, open_source(DRIVE), "fp32")
    assert parity.windows == WINDOWS == len(reference.stamps) and reference.stamps == candidate.stamps
    assert np.diff(reference.stamps).tolist() == [100_000_000] * (WINDOWS - 1), "one after the other, as a stream sees them"
    assert all((d.mean, d.max) == (0, 0) for d in parity.outputs.values()) and parity.outputs.keys() == {"futures", "labels", "motions"}
    assert parity.ssim is not None and parity.ssim[0] == parity.ssim[1] and not parity.failures
    frames = [frame.image for frame in open_source(DRIVE)]
    expected = [ssim(frames[i + LENGTH - 1], frames[i + LENGTH - 1 + k]) for i in range(WINDOWS) for k in (1, STEPS)]
    assert parity.ssim[0] == pytest.approx(np.mean(expected))


def test_differences_are_measured_in_their_own_units() -> None:
    def change(arrays: Arrays) -> Arrays:
        labels = arrays["labels"].copy()
        labels[:, :16] += 1  # a quarter of the pixels
        return darker(2)(arrays) | {"labels": labels, "motions": arrays["motions"] + np.float32(0.5)}

    parity = compare(Copies(), Copies(change), open_source(DRIVE), "bf16")
    futures, labels, motions = (parity.outputs[name] for name in ("futures", "labels", "motions"))
    assert (futures.mean, futures.max) == (2, 2) and (labels.mean, labels.max) == (0.25, 0.25)
    assert (motions.mean, motions.max) == (0.5, 0.5)
    said = "; ".join(parity.failures)
    assert "colours differ by 2 of 255 on average (limit" in said and "0.25 of the label maps' pixels differ (limit" in said
    assert "motions differ by 0.5 pixels on average (limit" in said
    assert parity.as_dict()["outputs"]["labels"] == {"mean": 0.25, "max": 0.25}


def test_a_fall_of_quality_is_a_failure_and_a_rise_is_none() -> None:
    def noise(arrays: Arrays) -> Arrays:
        random = np.random.default_rng(0)
        return arrays | {"futures": random.integers(0, 256, arrays["futures"].shape, np.uint8)}

    worse = compare(Copies(), Copies(noise), open_source(DRIVE), "int8")
    assert any("SSIM falls from" in failure for failure in worse.failures)
    assert worse.lpips is None or any("LPIPS rises from" in failure for failure in worse.failures)
    better = compare(Copies(noise), Copies(), open_source(DRIVE), "int8")
    assert not any("SSIM" in failure or "LPIPS" in failure for failure in better.failures)


def test_what_is_no_number_fails() -> None:
    def broken(arrays: Arrays) -> Arrays:
        return arrays | {"motions": np.full_like(arrays["motions"], np.nan)}

    assert any("motions" in failure for failure in compare(Copies(), Copies(broken), open_source(DRIVE), "int8").failures)


def test_a_source_without_a_window_is_told() -> None:
    with pytest.raises(NoWindowError, match="hold no run of 5 frames"):
        compare(Copies(), Copies(), open_source("synthetic:seed=1,seconds=0.3,rate=10,width=64,height=32"), "fp32")


def test_the_limits_loosen_with_the_precision() -> None:
    for looser, tighter in (("fp16", "fp32"), ("bf16", "fp16"), ("int8", "bf16")):
        pairs = zip(vars(LIMITS[looser]).values(), vars(LIMITS[tighter]).values(), strict=True)
        assert all(a >= b for a, b in pairs)
