"""Which reader SOURCE selects, and what it says about what it cannot open."""

import sys
from subprocess import run

import cv2
import numpy as np
import pytest
from helpers.bags import START_NS, moving_square, raw_image, write_bag
from helpers.videos import write_video

from vidpred_ros.errors import SourceError
from vidpred_ros.sources import open_source
from vidpred_ros.sources.base import median_rate
from vidpred_ros.sources.folder import FolderSource
from vidpred_ros.sources.rosbag import RosbagSource
from vidpred_ros.sources.synthetic import SyntheticDrive
from vidpred_ros.sources.video import VideoSource


@pytest.fixture
def inputs(tmp_path):
    frames = moving_square(3, 48, 64)
    write_bag(tmp_path / "bag", {"/camera": [(START_NS + i, raw_image(f, START_NS + i)) for i, f in enumerate(frames)]})
    write_video(tmp_path / "video.mkv", frames, [0, 100, 200])
    (tmp_path / "images").mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), frame)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reader"),
    [("bag", RosbagSource), ("bag/bag.mcap", RosbagSource), ("video.mkv", VideoSource), ("images", FolderSource)],
)
def test_the_input_selects_the_reader(inputs, name, reader):
    source = open_source(str(inputs / name))
    assert type(source) is reader and len(list(source)) == len(source) == 3
    assert source.name == str(inputs / name) and len(source.fingerprint()) == 64


def test_a_synthetic_drive_is_a_source_too():
    source = open_source("synthetic:seed=3,seconds=2")
    assert type(source) is SyntheticDrive and len(source) == 20


def test_the_home_folder_may_be_written_as_a_tilde(inputs, monkeypatch):
    monkeypatch.setenv("HOME", str(inputs))
    assert len(open_source("~/images")) == 3


def test_what_does_not_exist_lists_the_forms():
    with pytest.raises(SourceError) as error:
        open_source("no/such/drive")
    for form in ("no/such/drive does not exist", "rosbag2", ".mcap", ".db3", "--topic", "video", "meta.json", "synthetic:"):
        assert form in str(error.value)


def test_a_file_that_is_no_video_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("just text, no frames at all")
    with pytest.raises(SourceError, match=r"notes\.txt"):
        open_source(str(tmp_path / "notes.txt"))


@pytest.mark.parametrize("name", ["video.mkv", "images", "synthetic:"])
def test_a_topic_is_for_bags(inputs, name):
    with pytest.raises(SourceError, match="--topic /camera is given, but .* is not a bag"):
        open_source(name if name.endswith(":") else str(inputs / name), topic="/camera")


@pytest.mark.parametrize("name", ["video.mkv", "bag", "synthetic:"])
def test_a_rate_is_for_folders(inputs, name):
    with pytest.raises(SourceError, match="rate of 12 Hz is given, but .* has its own stamps"):
        open_source(name if name.endswith(":") else str(inputs / name), rate_hz=12)


def test_readers_are_imported_only_when_they_are_used(inputs):
    """A camera of images needs neither rosbags nor PyAV nor the synthetic street."""
    code = (
        "import sys; from vidpred_ros.sources import open_source; list(open_source(sys.argv[1]));"
        "print(*(m for m in ('rosbags', 'av', 'torch', 'vidpred_ros.sources.synthetic') if m in sys.modules))"
    )
    done = run([sys.executable, "-c", code, str(inputs / "images")], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_rate_is_that_of_the_median_interval():
    stamps = np.cumsum([0, 40, 40, 40, 0, 40, 400, 40, -1000, 40]) * 1_000_000
    assert median_rate([int(s) for s in stamps], "it") == pytest.approx(25)
    for useless in ([], [5], [5, 5, 4]):
        with pytest.raises(SourceError, match="it has fewer than two frames"):
            median_rate(useless, "it")
