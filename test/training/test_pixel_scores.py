"""Scores of a pixel generator against scikit-image, on a drive that is made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.models import make_model
from skimage.metrics import peak_signal_noise_ratio

from training.datasets.labels import LabelledSequence
from training.pixel_scores import main, measure
from vidpred_ros.errors import SourceError
from vidpred_ros.models import read_card

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (9, 32, 64, 3), dtype=np.uint8)
LABELS = np.stack([np.full((32, 64), i, np.uint8) for i in range(9)])  # a label map says which frame it is of


class KnowsAll:
    """A roll that makes the true frame of each label map."""

    size, past = (32, 64), 2

    def start(self, frames: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> None:
        assert all((frame == FRAMES[one[0, 0]]).all() for frame, one in zip(frames, labels, strict=True)) and len(frames) == 2

    def roll(self, labels: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for one in labels:
            yield FRAMES[one[0, 0]]


def drive(labelled: np.ndarray) -> LabelledSequence:
    return LabelledSequence("drive", 10.0, FRAMES, LABELS, labelled, "exact")


def test_a_roll_is_compared_with_what_came_and_with_the_last_frame() -> None:
    means, windows = measure(KnowsAll(), drive(np.ones(9, bool)), 0.1, steps=3)  # type: ignore[arg-type]
    assert windows == 5 and len(means) == 3
    for k, here in enumerate(means):
        assert here["roll"]["ssim"] == pytest.approx(1)
        psnr = [peak_signal_noise_ratio(FRAMES[i + 2 + k], FRAMES[i + 1]) for i in range(5)]
        assert here["copy_last"]["psnr"] == pytest.approx(np.mean(psnr), abs=1e-3)


def test_windows_do_not_reach_over_frames_without_labels() -> None:
    labelled = np.ones(9, bool)
    labelled[5] = False
    assert measure(KnowsAll(), drive(labelled), 0.1, steps=3)[1] == 1  # type: ignore[arg-type]
    labelled[2] = False
    with pytest.raises(SourceError, match="nowhere 5 labelled frames"):
        measure(KnowsAll(), drive(labelled), 0.1, steps=3)  # type: ignore[arg-type]


def test_the_card_states_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model(tmp_path, kind="pixels")
    main(str(model), ["synthetic:seed=1,seconds=1,width=64,height=32"], steps=2, edges=None, engine="torch", split="val", card=True)
    scores = read_card(model).scores
    assert [entry["step"] for entry in scores] == [1, 2] and str(scores[0]["ssim"]) in capsys.readouterr().out
    assert "rolled on with the true label maps; this model / copy last" in (model / "README.md").read_text()
