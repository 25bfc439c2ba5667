from pathlib import Path

import numpy as np
import pytest

from vidpred_ros.errors import SourceError
from vidpred_ros.evaluation.recording import LabelRecording, Recording, load_recording, summarise, with_loss


def test_a_recording_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    camera = random.integers(0, 256, (5, 4, 6, 3), np.uint8)
    futures = random.integers(0, 256, (2, 3, 4, 6, 3), np.uint8)
    saved = Recording(np.arange(5), camera, np.arange(2), np.full(2, 10**8), futures, {"model": "m"})
    saved.save(tmp_path / "new" / "folder")
    loaded = load_recording(tmp_path / "new" / "folder")
    assert np.array_equal(loaded.camera_frames, camera) and np.array_equal(loaded.forecast_frames, futures)
    assert np.array_equal(loaded.camera_stamps_ns, np.arange(5)) and loaded.summary == {"model": "m"}
    assert np.array_equal(loaded.period_ns, [10**8, 10**8])


def test_label_maps_come_back_as_they_were_saved(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    none = np.zeros((0, 4, 6, 3), np.uint8)
    labels = LabelRecording(
        np.arange(2),
        np.full(2, 10**8),
        random.integers(0, 19, (2, 3, 8, 16), np.uint8),
        random.random((2, 8, 16)).astype(np.float16),
        random.random((2, 3, 8, 16)).astype(np.float16),
    )
    Recording(np.arange(0), none, np.arange(0), np.arange(0), none, {}, labels).save(tmp_path)
    loaded = load_recording(tmp_path).labels
    assert loaded is not None
    for name in ("source_stamps_ns", "period_ns", "labels", "uncertainty", "occupancy"):
        assert np.array_equal(getattr(loaded, name), getattr(labels, name)), name


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is no recording"):
        load_recording(tmp_path)


def test_a_lost_frame_shows() -> None:
    assert with_loss({}, sent=[1, 2, 3, 4], received=[1, 2, 4])["camera"] == {
        "sent": 4,
        "received": 3,
        "lost": 1,
    }


def test_no_values_have_no_median() -> None:
    assert summarise([]) == {"median": None, "p99": None}
    assert summarise([1.0, 2.0, 30.0])["median"] == 2.0
