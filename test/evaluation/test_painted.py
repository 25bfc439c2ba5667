"""Frames painted on forecast label maps, beside what the network paints by hand."""

import json

import cv2
import numpy as np
import pytest
from helpers.labels import LABEL_SIZE, ColourSegmenter, Guesser, write_label_drive
from helpers.light import Light, bright_or_dark, light_of_clips
from helpers.models import make_model

from vidpred_ros.evaluation import painted
from vidpred_ros.evaluation.label_results import evaluate_structure
from vidpred_ros.evaluation.label_trials import StructureLane, label_replay
from vidpred_ros.evaluation.perceptual import Perceptual
from vidpred_ros.metrics.frechet import frechet_distance
from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors.pixels import PixelRoll
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.sources import open_source

torch = pytest.importorskip("torch")

STEPS, PAST = 9, 2


def by_hand(network, frames, labels, future):
    """K frames on the label maps ``future``, by torch alone."""
    frames, labels = list(frames)[-PAST:], list(labels)[-PAST:]
    with torch.no_grad():
        for one in future:
            labels.append(one)
            structures = torch.stack([torch.nn.functional.one_hot(torch.tensor(m).long(), 19) for m in labels[-PAST - 1 :]])
            past = torch.tensor(np.stack(frames[-PAST:])).permute(0, 3, 1, 2)[None] / 255
            made = network(past, structures.permute(0, 3, 1, 2)[None].float(), None).frame[0].permute(1, 2, 0)
            frames.append((made * 255).round().clamp(0, 255).numpy().astype(np.uint8))
    return np.stack(frames[PAST:])


def small(frames):
    return np.stack([crop_and_resize(frame, LABEL_SIZE) for frame in frames])


def test_what_is_painted_is_scored_against_what_came(tmp_path, monkeypatch):
    from vidpred_ros.engines.graph import load_network

    monkeypatch.setattr(painted, "Perceptual", lambda: Perceptual(Light(), light_of_clips, bright_or_dark))
    drive = open_source(str(write_label_drive(tmp_path / "street", 15)))
    model = ReleasedModel(make_model(tmp_path, "painter", "pixels"))
    with_pixels = StructureLane(Guesser(STEPS), ColourSegmenter(8), pixels=PixelRoll(model, "torch"), perceptual=True)
    results = evaluate_structure(drive, with_pixels, tmp_path / "out", "x")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == results
    found = results["painted"]

    network, trials = load_network(model), list(label_replay(drive, with_pixels, "source"))
    truth = np.stack([small(trial.frames) for trial in trials])
    hand = {
        "predictor": [by_hand(network, small(t.window.frames), t.labels, t.predicted) for t in trials],
        "segmenter": [by_hand(network, small(t.window.frames), t.labels, t.segmented) for t in trials],
        "last_frame": [small(t.window.frames[-1:]).repeat(STEPS, 0) for t in trials],
    }
    assert found["windows"] == len(trials) == 3 and found["model"] == "painter"
    assert list(found["means"]) == ["predictor", "copy_last", "optical_flow", "segmenter", "last_frame"]
    for name, clips in hand.items():
        error = np.square(np.stack(clips).astype(float) - truth).mean((2, 3, 4))
        expected = (10 * np.log10(255**2 / error)).mean(0)
        values = [horizon["methods"][name]["psnr"] for horizon in found["horizons"]]
        np.testing.assert_allclose(values, expected, atol=0.02)
        assert found["means"][name]["psnr"] == pytest.approx(np.mean(values))
        distance = frechet_distance(light_of_clips(np.stack(clips)), light_of_clips(truth))
        assert found["videos"]["methods"][name] == {"fvd": pytest.approx(distance, rel=0.02, abs=1e-3), "clips": 3}
        assert 0 < found["means"][name]["csim"] <= 1
    assert found["means"]["copy_last"]["psnr"] != found["means"]["segmenter"]["psnr"]
    assert results["horizons"][0]["methods"]["predictor"]["ssim"] is None
    assert "`painted` has the scores" in results["horizons"][0]["methods"]["predictor"]["ssim_reason"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Frames painted on the label maps" in page and "last frame</th>" in page and "Frechet distance of clips" in page
    rows = 8 * 5 * LABEL_SIZE[0]  # one more than without a pixel generator, enlarged five times
    assert cv2.imread(str(tmp_path / "out" / "labels.png")).shape[0] > rows
