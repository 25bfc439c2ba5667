"""Predictors of whole windows: the multi-scale network's, and the stochastic one's with its samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models import SIZE, make_model

from vidpred_ros.engines import open_engine
from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ConfigError, EngineError
from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors import make_predictor, whole
from vidpred_ros.predictors.whole import Stochastic
from vidpred_ros.window import Window

PERIOD = 100_000_000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("whole")
    return {kind: str(make_model(folder, kind, kind)) for kind in ("multiscale", "stochastic")}


@pytest.fixture
def stochastic(models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Stochastic:
    monkeypatch.setattr(whole, "SAMPLES", 2)
    predictor = make_predictor(models["stochastic"], "torch", 2)
    assert isinstance(predictor, Stochastic)
    return predictor


def window(seed: int = 0) -> Window:
    frames = np.random.default_rng(seed).integers(0, 256, (8, *SIZE, 3), np.uint8)
    stamps = tuple(k * PERIOD for k in range(8))
    return Window(stamps, tuple(frames), epoch=0, sequence=8, period_ns=PERIOD)


@pytest.mark.parametrize("kind", ["multiscale", "stochastic"])
def test_a_forecast_is_what_the_network_says_rounded(models: dict[str, str], kind: str) -> None:
    predictor = make_predictor(models[kind], "torch", 2)
    assert (predictor.size, predictor.window_length, predictor.engine) == (SIZE, 8, "torch fp32")
    forecast = predictor.predict(window())
    frames = torch.from_numpy(np.stack(window().frames)).permute(0, 3, 1, 2)[None] / 255
    noise = torch.zeros(1, 2, 3) if kind == "stochastic" else None  # the mean of its prior
    with torch.no_grad():
        expected = load_network(ReleasedModel(Path(models[kind])))(frames, None, [1, 2], noise)[0].movedim(1, -1).numpy() * 255
    for k, horizon in enumerate(forecast.horizons):
        assert horizon.step == k + 1 and horizon.stamp_ns == (7 + k + 1) * PERIOD
        assert horizon.frame is not None and horizon.frame.dtype == np.uint8
        assert np.abs(horizon.frame - expected[k]).max() <= 0.5 + 1e-3
    assert set(forecast.latency_ms) == {"infer"} and forecast.source_stamp_ns == 7 * PERIOD
    assert not np.array_equal(predictor.predict(window(1)).horizons[0].frame, forecast.horizons[0].frame)
    predictor.close()
    predictor.close()


def test_samples_follow_from_the_seed(stochastic: Stochastic) -> None:
    drawn = stochastic.sample(window(), 5, seed=7)
    assert drawn.shape == (5, 2, *SIZE, 3) and drawn.dtype == np.uint8
    assert np.array_equal(drawn, stochastic.sample(window(), 5, seed=7))
    assert np.array_equal(drawn[:3], stochastic.sample(window(), 3, seed=7)), "fewer are the first ones"
    assert not np.array_equal(drawn, stochastic.sample(window(), 5, seed=8))
    assert len({sample.tobytes() for sample in drawn}) == 5, "each has noise of its own"
    stochastic.close()
    with pytest.raises(ConfigError, match="1 sample or more, not 0"):
        stochastic.sample(window(), 0, seed=7)


def test_a_sample_is_the_networks_future_of_its_noise(stochastic: Stochastic, models: dict[str, str]) -> None:
    noise = np.random.default_rng(7).standard_normal((3, 2, 3), np.float32)
    engine = open_engine(ReleasedModel(Path(models["stochastic"])), "torch", "whole", 2, samples=1)
    for sample, z in zip(stochastic.sample(window(), 3, seed=7), noise, strict=True):
        alone = engine.infer({"frames": np.stack(window().frames), "noise": z[None]})["futures"][0]
        assert np.abs(sample.astype(int) - alone).max() <= 1 and np.abs(sample.astype(int) - alone).mean() < 0.01


def test_what_such_a_model_cannot_do(models: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="multiscale cannot stream"):
        make_predictor(models["multiscale"], "torch", 1, stream=True)
    with pytest.raises(ConfigError, match="predicts 1 to 5 steps, not 6"):
        make_predictor(models["stochastic"], "torch", 6)
    with pytest.raises(EngineError, match="unknown engine"):
        make_predictor(models["multiscale"], "tensors", 1)
    assert not hasattr(make_predictor(models["multiscale"], "torch", 1), "sample")
