"""``vidpred evaluate`` on label maps, with tiny models of random weights: which files there are and what is refused."""

import json
import shutil
import sys

import cv2
import numpy as np
import pytest
from helpers.labels import write_label_drive

from training.datasets import cityscapes
from vidpred_ros import cli

pytest.importorskip("torch")  # the engine that needs no export



@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Model folders by kind."""
    from helpers.models import make_model

    folder = tmp_path_factory.mktemp("models")
    return {kind: str(make_model(folder, f"tiny_{kind}", kind)) for kind in ("segmenter", "structure", "pixels")}


@pytest.fixture
def vidpred(monkeypatch, capsys):
    """The command, in this process: its exit code and what it printed."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["vidpred", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return write_label_drive(tmp_path_factory.mktemp("drive") / "street", 14)


def labels_of(models):
    return ["--segmenter", models["segmenter"], "--engine", "torch"]


def test_frames_and_label_maps_together(vidpred, models, drive, tmp_path):
    words = ["--model", "copy_last", "--structure", "--structure-model", models["structure"], *labels_of(models)]
    code, printed = vidpred("evaluate", drive, *words, "--pixels", models["pixels"], "--steps", 2, "--out", tmp_path / "out")
    assert code == 0, printed
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (results["model"], results["structure"]["model"]) == ("copy_last", "tiny_structure")
    assert list(results["horizons"][0]["methods"]) == ["predictor", "copy_last", "optical_flow", "segmenter"]
    assert results["structure"]["engine"].startswith("torch")
    assert results["horizons"][1]["methods"]["predictor"]["miou"] >= 0
    assert "against the source's own labels" in printed and "it sees the true future frame" in printed
    assert "frames painted by tiny_pixels, means over 9 windows and 2 steps" in printed
    assert results["painted"]["means"]["last_frame"] != results["painted"]["means"]["copy_last"]
    for file in ("scores.csv", "label_scores.csv", "labels.png", "labels.mp4", "filmstrip.png", "report.html"):
        assert (tmp_path / "out" / file).stat().st_size > 500


def test_a_structure_model_as_the_model(vidpred, models, drive, tmp_path):
    words = ["--model", models["structure"], *labels_of(models), "--samples", 3, "--period", 0.2, "--context-labels", "source"]
    code, printed = vidpred("evaluate", drive, *words, "--steps", 1, "--out", tmp_path / "out")
    assert code == 0, printed
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert results["protocol"]["stride"] == 2 and results["horizons"][0]["seconds"] == 0.2
    assert results["structure"]["context_labels"] == "the source's own"
    methods = results["horizons"][0]["methods"]
    assert methods["best_of_3"]["miou"] is not None and methods["predictor"]["ssim"] is None
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_future_segmentation(vidpred, models, tmp_path):
    for name, frames in (("a", 30), ("b", 20), ("c", 8)):
        write_label_drive(tmp_path / "snippets" / name, frames, labelled=(19,), fps=17)
    words = ["--model", models["structure"], *labels_of(models), "--future-segmentation"]
    code, printed = vidpred("evaluate", tmp_path / "snippets", *words, "--out", tmp_path / "out")
    assert code == 0, printed
    assert "left out:" in printed and "8 frames" in printed
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [(h["step"], h["windows_labelled"]) for h in results["horizons"]] == [(1, 2), (3, 2)]
    assert results["protocol"]["steps"] == 5, "all that the model foretells of the protocol's 6"


def test_future_segmentation_of_cityscapes_as_downloaded(vidpred, models, tmp_path, monkeypatch):
    monkeypatch.setattr(cityscapes, "SNIPPETS", {"val": 1, "test": 1})
    frames = sorted((write_label_drive(tmp_path / "drive", 30) / "frames").iterdir())
    for split, city, ids in (("val", "aachen", 26), ("test", "berlin", 3)):  # car, and "out of roi" all over
        (tmp_path / "root" / "leftImg8bit_sequence" / split / city).mkdir(parents=True)
        (tmp_path / "root" / "gtFine" / split / city).mkdir(parents=True)
        for i, frame in enumerate(frames):
            shutil.copy(frame, tmp_path / "root" / "leftImg8bit_sequence" / split / city / f"{city}_000004_{i:06d}_leftImg8bit.png")
        labels = tmp_path / "root" / "gtFine" / split / city / f"{city}_000004_000019_gtFine_labelIds.png"
        cv2.imwrite(str(labels), np.full((64, 128), ids, np.uint8))
    words = ["--model", models["structure"], *labels_of(models), "--future-segmentation"]
    code, printed = vidpred("evaluate", f"cityscapes:{tmp_path / 'root'}", *words, "--out", tmp_path / "out")
    assert code == 0, printed
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [(h["step"], h["windows_labelled"]) for h in results["horizons"]] == [(1, 1), (3, 1)]
    assert results["horizons"][0]["methods"]["copy_last"]["miou"] is not None
    code, printed = vidpred("evaluate", f"cityscapes:{tmp_path / 'root'}?split=test", *words, "--out", tmp_path / "secret")
    assert code == 2 and "no snippet has a label map of its 20th frame with a class in it" in printed
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "copy_last", "--future-segmentation"], "copy_last predicts frames"),
        (["--model", "{structure}", "--perceptual"], "--perceptual is of frames"),
        (["--model", "copy_last", "--pixels", "{pixels}"], "copy_last predicts frames: add --structure"),
        (["--model", "{structure}", "--edges", "{pixels}"], "--edges is for a pixel generator"),
        (["--model", "{structure}", "--pixels", "{pixels}", "--future-segmentation"], "leave one of them out"),
        (["--model", "{structure}", "--pixels", "{segmenter}"], "is of kind segmenter"),
        (["--model", "{structure}", "--future-segmentation", "--period", "0.2"], "leave --period and --topic out"),
        (["--model", "copy_last", "--period", "-1"], "give seconds above 0"),
        (["--model", "copy_last", "--structure", "--structure-model", "{segmenter}"], "predicts no label maps"),
        (["--model", "copy_last", "--structure", "--structure-model", "copy_last"], "copy_last is a baseline and no model"),
        (["--model", "{structure}", "--segmenter", "{structure}"], "is no segmenter"),
        (["--model", "{structure}", "--segmenter", "nope"], "no segmenter 'nope': neither a folder nor one of the released ones"),
    ],
)
def test_what_does_not_go_together_is_said(vidpred, models, drive, tmp_path, words, message):
    words = [word.format(**models) for word in words]
    segmenter = [] if "--segmenter" in words else ["--segmenter", models["segmenter"]]
    code, printed = vidpred("evaluate", drive, *words, *segmenter, "--engine", "torch", "--out", tmp_path / "out")
    assert code == 2 and message in printed
    assert not (tmp_path / "out").exists()
