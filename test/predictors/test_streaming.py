"""A long drive through the streaming predictor, with frames lost and windows skipped, against the whole window each time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.models import SIZE

from vidpred_ros.engines import installed_engines
from vidpred_ros.predictors import make_predictor
from vidpred_ros.window import FrameWindow, Window

FRAMES, PERIOD = 300, 100_000_000


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    """Those of a picture that wanders: 2 % of the frames never come, 1 % of them with the clock set back, and of the windows
    every fifth is skipped, as by a node that is busy."""
    random = np.random.default_rng(3)
    height, width = SIZE
    wide = cv2.GaussianBlur(random.integers(0, 256, (3 * height, 3 * width, 3), np.uint8), (0, 0), 2)
    place, speed, stamp = np.array([height, width], float), np.zeros(2), 0
    window, found = FrameWindow(PERIOD / 1e9), []
    for _ in range(FRAMES):
        speed = 0.9 * speed + random.normal(0, 0.7, 2)
        place = np.clip(place + speed, 0, (2 * height - 1, 2 * width - 1))
        stamp += PERIOD
        luck = random.random()
        if luck < 0.01:
            stamp -= 5 * PERIOD  # a bag that loops
        elif luck < 0.03:
            continue  # a frame that was lost
        frame = cv2.getRectSubPix(wide, (width, height), (place[1] + width / 2, place[0] + height / 2))
        window.add(stamp, frame)
        full = window.window()
        if full is not None and random.random() < 0.8:
            found.append(full)
    epochs = {one.epoch for one in found}
    steps = np.diff([one.sequence for one in found])
    assert len(epochs) > 5 and (steps == 1).any() and ((steps > 1) & (steps < 8)).any(), "resets, single and several new frames"
    return found


@pytest.mark.parametrize("engine", installed_engines())
def test_a_stream_says_what_whole_windows_say(tiny_model: Path, windows: list[Window], engine: str) -> None:
    """Bytes are equal but where the rounding of a float decides: mean difference below 1e-5 of the range of colours."""
    streamed, whole = (make_predictor(str(tiny_model), engine, 2, stream=one) for one in (True, False))
    apart = []
    for window in windows:
        forecasts = [[h.frame for h in predictor.predict(window).horizons] for predictor in (streamed, whole)]
        apart.append(np.abs(np.subtract(*forecasts, dtype=int)))
    streamed.close()
    whole.close()
    assert len(apart) > 150
    # a bfloat16 kernel may sum in another order for one frame than for eight
    limit, mean = (1, 1e-5) if streamed.engine.endswith("fp32") else (8, 2e-3)
    assert max(one.max() for one in apart) <= limit and np.mean(apart) / 255 < mean
