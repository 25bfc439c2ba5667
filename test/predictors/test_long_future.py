from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.eyes import Eyes, windows
from helpers.models import LABEL_SIZE, make_model

from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.predictors.long_future import REACH, make_long_future
from vidpred_ros.predictors.structure import make_structure


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_model(tmp_path_factory.mktemp("long"), "tiny_long", "structure"))


@pytest.mark.parametrize("settings", [{}, {"form": "lstm", "motion_prior": "none"}, {"space": "soft"}], ids=str)
def test_its_first_steps_are_a_forecast(tmp_path: Path, settings: dict[str, str]) -> None:
    folder = str(make_model(tmp_path, "tiny_steps", "structure", **settings))
    window = windows(1)[0]
    long = make_long_future(folder, Eyes(), "torch")
    long._random = Zero()  # the prior's mean, as in a forecast of one sample
    long.start(window)
    expected = make_structure(folder, Eyes(), "torch", REACH, samples=1).predict(window).samples[0]
    assert np.mean([one[0] != other for one, other in zip(long.roll(REACH), expected, strict=True)]) <= 1e-2


def test_a_motion_prior_looks_back_beyond_the_window(tmp_path: Path) -> None:
    """As in a stream of 8 frames, of which the window has 4."""
    foretells = str(make_model(tmp_path, "tiny_mover"))
    folder = str(make_model(tmp_path, "tiny_looks_back", "structure", motion_prior="frames", motion_model=foretells))
    stream, long = make_structure(folder, Eyes(), "torch", REACH, samples=1), make_long_future(folder, Eyes(), "torch")
    seen = windows(5)
    expected = [stream.predict(window) for window in seen][-1].samples[0]
    long._random = Zero()
    long.start(seen[-1], seen[-1 - long.memory : -1])
    rolled = np.stack([one[0] for one in long.roll(REACH)])
    assert long.memory == 4 and (rolled != expected).mean() <= 1e-2
    short = make_long_future(folder, Eyes(), "torch")
    short._random = Zero()
    short.start(seen[-1])
    assert not np.array_equal(rolled, np.stack([one[0] for one in short.roll(REACH)]))


class Zero:
    def standard_normal(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.zeros(shape, dtype)


def test_memory_does_not_grow(model: str) -> None:
    long = make_long_future(model, Eyes(), "torch", samples=2)
    long.start(windows(1)[0])
    for _ in range(2 * REACH):
        long.step()
    kept, sizes = long.state_bytes, []
    tracemalloc.start()
    for i, maps in enumerate(long.roll(200)):
        assert maps.shape == (2, *LABEL_SIZE) and maps.max() < 19
        if i % REACH == 0:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert long.state_bytes == kept
    assert sizes[-1] - sizes[1] < 100_000, "200 steps of two label maps would be 800 kB"


def test_samples_differ_and_seeds_repeat(model: str) -> None:
    window = windows(1)[0]

    def drawn(seed: int) -> np.ndarray:
        long = make_long_future(model, Eyes(), "torch", samples=2, seed=seed)
        long.start(window)
        return np.stack(list(long.roll(4)))

    first = drawn(0)
    assert np.array_equal(first, drawn(0)) and not np.array_equal(first, drawn(1))
    assert (first[:, 0] != first[:, 1]).any()


def test_what_is_seen_instead_is_what_goes_on(model: str) -> None:
    """For the ablation that segments each frame that it made (RGB propagation)."""
    window = windows(1)[0]
    own, other = (make_long_future(model, Eyes(), "torch") for _ in range(2))
    for long in (own, other):
        long.start(window)
    maps = own.step()
    other.step()
    assert np.array_equal(own.step(maps), other.step())
    assert not np.array_equal(own.step(np.zeros_like(maps)), other.step())


def test_mistakes(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="call start"):
        make_long_future(model, Eyes(), "torch").step()
    with pytest.raises(ModelError, match="long futures need kind structure"):
        make_long_future(str(make_model(tmp_path, "tiny_s2s", "s2s")), Eyes(), "torch")
