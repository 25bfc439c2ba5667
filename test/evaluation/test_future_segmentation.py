"""The future-segmentation protocol: which frames are seen and which one is scored."""

import cv2
import numpy as np
import pytest
from helpers.labels import LABEL_SIZE, SIZE, ColourSegmenter, Guesser, label_scene, write_label_drive

from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.evaluation.future_segmentation import evaluate_future_segmentation, snippet_trials, snippets
from vidpred_ros.evaluation.label_trials import StructureLane
from vidpred_ros.metrics.segmentation import ConfusionMatrix
from vidpred_ros.preprocess import crop_and_resize_labels
from vidpred_ros.sources import open_source


def truth_map(number):
    """Frame ``number`` of a snippet, counted from 1."""
    return crop_and_resize_labels(label_scene(number - 1), LABEL_SIZE)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two snippets whose 20th frame is labelled, and a drive that is too short."""
    folder = tmp_path_factory.mktemp("snippets")
    made = [write_label_drive(folder / name, frames, labelled=(19,), fps=17) for name, frames in (("a", 30), ("b", 20), ("c", 19))]
    found, left_out = snippets("both", [open_source(str(one)) for one in made])
    assert [len(one) for one in found.members] == [30, 20]
    assert list(left_out.values()) == ["19 frames; the protocol scores the 20th"]
    return found


def lane(**settings):
    return StructureLane(Guesser(**{"steps": 6, "period_s": 3 / 17} | settings), ColourSegmenter())


def test_contexts_and_targets_are_the_papers(source):
    mine = lane()
    trials = list(snippet_trials(source, mine, "source"))
    assert [(trial.index, trial.steps) for trial in trials] == [(0, [1]), (1, [3]), (2, [1]), (3, [3])]
    for trial, seen in zip(trials, [(8, 11, 14, 17), (2, 5, 8, 11)] * 2, strict=True):
        for labels, number in zip(trial.labels, seen, strict=True):
            np.testing.assert_array_equal(labels, truth_map(number))
        np.testing.assert_array_equal(trial.truth[trial.steps[0] - 1], truth_map(20))
        assert trial.window.period_ns == pytest.approx(3e9 / 17, abs=2)
        assert trial.forecast.horizons[trial.steps[0] - 1].stamp_ns == pytest.approx(19e9 / 17, abs=5)
    assert mine.segmenter.count <= 10 + 7  # 2, 5, ... 29 and 2, 5, ... 20
    assert len({trial.window.epoch for trial in trials}) == 4


def test_one_matrix_for_all_snippets(source, tmp_path):
    results = evaluate_future_segmentation(source, lane(), tmp_path, "vidpred evaluate snippets --future-segmentation")
    assert [(h["step"], h["windows_labelled"]) for h in results["horizons"]] == [(1, 2), (3, 2)]
    assert [h["seconds"] for h in results["horizons"]] == pytest.approx([3 / 17, 9 / 17], abs=1e-6)
    for horizon, last in zip(results["horizons"], (17, 11), strict=True):
        matrix = ConfusionMatrix()
        matrix.update(truth_map(20), truth_map(last))
        assert horizon["methods"]["copy_last"]["miou"] == pytest.approx(matrix.miou())
        assert horizon["methods"]["segmenter"]["miou"] == 1
    assert "future segmentation" in results["protocol"]["mode"]
    assert results["protocol"]["labels"] == "the source's own labels (shipped with the data)"
    assert (tmp_path / "report.html").exists() and (tmp_path / "labels.png").exists()


def test_what_does_not_fit_is_said(source, tmp_path):
    with pytest.raises(ConfigError, match="3 steps or more out; guesser has 4 in, --steps is 2"):
        evaluate_future_segmentation(source, lane(steps=2), tmp_path, "x")
    bare = open_source(str(write_label_drive(tmp_path / "bare", 30, labelled=(3,))))
    with pytest.raises(SourceError, match="no snippet has a label map of its 20th frame"):
        evaluate_future_segmentation(snippets("bare", [bare])[0], lane(), tmp_path / "out", "x")
    blank = write_label_drive(tmp_path / "blank", 30, labelled=())
    cv2.imwrite(str(blank / "labels" / "019.png"), np.full(SIZE, 255, np.uint8))  # as of a test split
    with pytest.raises(SourceError, match="no snippet has a label map of its 20th frame with a class in it"):
        evaluate_future_segmentation(snippets("blank", [open_source(str(blank))])[0], lane(), tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SourceError, match="no snippet of 20 frames"):
        snippets("short", [open_source(str(write_label_drive(tmp_path / "short", 6)))])
