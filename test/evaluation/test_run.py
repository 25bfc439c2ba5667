"""The whole of an evaluation: the five files, their contents, and what must not happen on the way."""

import json
import re
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from vidpred_ros.engines import GraphSpec, exported_file
from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation import run
from vidpred_ros.evaluation.protocol import latency_summary
from vidpred_ros.evaluation.run import evaluate
from vidpred_ros.evaluation.scores import METRICS
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors import make_predictor
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.sources import open_source

METHODS = ("predictor", "copy_last", "optical_flow")
SOURCE = "synthetic:seed=4,seconds=2"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated") / "new" / "folder"
    source, predictor = open_source(SOURCE), make_predictor("optical_flow", steps=3)
    return out, evaluate(source, predictor, out, f"vidpred evaluate {SOURCE}")


def test_metrics_json_is_what_the_design_says(evaluated):
    out, results = evaluated
    written = json.loads((out / "metrics.json").read_text())
    assert written == results
    assert written["source"].startswith("synthetic:seed=4")
    assert (written["model"], written["engine"], written["frames"]) == ("optical_flow", "none", 20)
    assert written["protocol"]["windows"] == 20 - 8 - 3 + 1
    assert written["protocol"]["size"] == [128, 160]
    assert (written["protocol"]["stride"], written["protocol"]["period_s"]) == (1, 0.1)
    assert [(h["step"], h["seconds"]) for h in written["horizons"]] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert (written["protocol"]["phases"], written["protocol"]["seed"]) == (1, None)
    for horizon in written["horizons"]:
        assert horizon["windows_moving"] == written["protocol"]["windows"]  # the car drives
        methods = horizon["methods"]
        assert set(methods) == {"predictor", "copy_last", "optical_flow"}
        assert methods["predictor"] == methods["optical_flow"] != methods["copy_last"]
        assert set(METRICS) == set(methods["predictor"])
        assert methods["predictor"]["psnr_moving"] != methods["predictor"]["psnr"]
    assert 0 < written["latency_ms"]["median"] <= written["latency_ms"]["p99"]
    assert re.fullmatch("[0-9a-f]{64}", written["data_sha256"])
    assert written["host"]["versions"]["numpy"] == np.__version__


def test_motion_and_distribution_count_every_window(evaluated):
    results = evaluated[1]
    windows = results["protocol"]["windows"]
    bins = results["motion_bins"]["bins"]
    assert sum(one["windows"] for one in bins) == windows
    means = [one["methods"]["copy_last"]["lpips"] for one in bins]
    assert all(one["from"] <= mean < one["to"] for one, mean in zip(bins, means, strict=True))
    weighted = sum(mean * one["windows"] for one, mean in zip(bins, means, strict=True)) / windows
    assert weighted == pytest.approx(results["horizons"][0]["methods"]["copy_last"]["lpips"])
    spread = results["distribution"]
    assert (spread["step"], len(spread["edges"])) == (3, 21)
    assert {method: sum(counts) for method, counts in spread["counts"].items()} == dict.fromkeys(METHODS, windows)


class Gambler:
    """A stochastic predictor: its forecast is the last frame, one of its samples in four is what then happens."""

    model_id, engine, size, period_s, window_length, steps = "gambler", "none", (128, 160), 0.1, 8, 2

    def __init__(self, source):
        frames = [crop_and_resize(frame.image, self.size) for frame in source]
        self.truth = {frame.stamp_ns: frames[i + 1 : i + 3] for i, frame in enumerate(source)}
        self.seeds = []

    def predict(self, window):
        return make_predictor("copy_last", steps=2).predict(window)

    def sample(self, window, count, seed):
        self.seeds.append(seed)
        random = np.random.default_rng(seed)
        drawn = random.integers(0, 256, (count, 2, *self.size, 3), np.uint8)
        drawn[random.integers(count)] = self.truth[window.stamps_ns[-1]]
        return drawn

    def close(self):
        pass


def test_best_of_n_is_scored_beside_the_forecast(tmp_path):
    source = open_source(SOURCE)
    gambler = Gambler(source)
    results = evaluate(source, gambler, tmp_path, "x", samples=4, seed=3)
    methods = results["horizons"][0]["methods"]
    assert list(methods) == ["predictor", "best_of_4", "copy_last", "optical_flow"]
    assert methods["best_of_4"]["ssim"] == pytest.approx(1)
    assert methods["predictor"] == methods["copy_last"]
    assert (results["protocol"]["samples"], results["protocol"]["seed"]) == (4, 3)
    windows = results["protocol"]["windows"]
    assert len(set(gambler.seeds[:windows])) == windows
    assert "Best of 4 was picked by the truth" in (tmp_path / "report.html").read_text()


def test_samples_of_a_model_that_draws_none(tmp_path):
    with pytest.raises(ConfigError, match="copy_last is not stochastic"):
        evaluate(open_source(SOURCE), make_predictor("copy_last", steps=1), tmp_path / "new", "x", samples=20)
    assert not (tmp_path / "new").exists()


def test_scores_repeat_to_the_last_digit(evaluated, tmp_path):
    again = evaluate(open_source(SOURCE), make_predictor("optical_flow", steps=3), tmp_path, "again")
    assert again["horizons"] == evaluated[1]["horizons"]
    assert again["data_sha256"] == evaluated[1]["data_sha256"]


def test_video_has_a_frame_for_each_window(evaluated):
    with av.open(str(evaluated[0] / "forecast.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 10
        assert len(list(container.decode(stream))) == 10


def test_filmstrip_holds_the_frames(evaluated):
    strip = cv2.imread(str(evaluated[0] / "filmstrip.png"))
    assert strip.shape[1] > 3 * 320  # three futures, enlarged twice
    assert strip.shape[0] > 5 * 256  # truth, predictor, two baselines, error


def test_report_is_one_file(evaluated):
    page = (evaluated[0] / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert f"vidpred evaluate {SOURCE}" in page
    assert page.count("<svg") == 6  # three curves, the drive, motion and distribution


def test_without_weights_lpips_is_null_and_the_rest_is_there(tmp_path, monkeypatch):
    def without_lpips():
        metrics = FrameMetrics()
        metrics._lpips, metrics.reasons["lpips"] = None, "weights are not installed"
        return metrics

    monkeypatch.setattr(run, "FrameMetrics", without_lpips)
    results = evaluate(open_source(SOURCE), make_predictor("copy_last", steps=1), tmp_path, "x")
    scores = results["horizons"][0]["methods"]["predictor"]
    assert (scores["lpips"], scores["lpips_reason"]) == (None, "weights are not installed")
    assert scores["ssim"] > 0
    assert "LPIPS is missing: weights are not installed" in (tmp_path / "report.html").read_text()


def test_latency_leaves_the_warm_up_out():
    assert latency_summary([100.0, 1.0, 2.0, 3.0])["median"] == 2
    assert latency_summary([100.0])["median"] == 100
    assert latency_summary([])["median"] is None


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_torch_is_not_imported(engine, tiny_model, tmp_path):
    pytest.importorskip(engine)
    exported_file(ReleasedModel(tiny_model), GraphSpec("stream", 1))
    code = (
        "import sys; from vidpred_ros.evaluation.run import evaluate; from vidpred_ros.sources import open_source;"
        "from vidpred_ros.predictors import make_predictor; from pathlib import Path;"
        f"predictor = make_predictor({str(tiny_model)!r}, {engine!r}, 1);"
        f"results = evaluate(open_source({SOURCE!r}), predictor, Path({str(tmp_path)!r}), 'x');"
        "assert results['weights_sha256'] and results['engine'].startswith(sys.argv[1]);"
        "assert 'torch' not in sys.modules and 'rclpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, engine], check=True)


def test_baselines_on_kitti_are_the_known_ones(real_data, tmp_path):
    """Measured with other code when the project was designed: SSIM, PSNR and LPIPS at t+1, t+3 and t+5."""
    known = {
        "copy_last": {1: (0.382, 15.4, 0.104), 3: (0.223, 12.4, 0.212), 5: (0.196, 11.4, 0.280)},
        "optical_flow": {1: (0.638, 19.6, 0.096), 3: (0.318, 13.7, 0.222), 5: (0.233, 11.7, 0.327)},
    }
    source = open_source(str(real_data / "kitti_residential_b"))
    results = evaluate(source, make_predictor("copy_last", steps=5), tmp_path, "x")
    for method, by_step in known.items():
        for step, (ssim, psnr, lpips) in by_step.items():
            scores = results["horizons"][step - 1]["methods"][method]
            assert scores["ssim"] == pytest.approx(ssim, abs=0.002)
            assert scores["psnr"] == pytest.approx(psnr, abs=0.06)
            assert scores["lpips"] == pytest.approx(lpips, abs=0.002)
