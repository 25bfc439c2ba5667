from __future__ import annotations

from pathlib import Path

import pytest
from helpers.bags import START_NS, raw_image, write_bag
from helpers.datasets import numbers, picture, write_images

from training.datasets.layouts import find_recordings
from vidpred_ros.errors import ConfigError, SourceError


def test_a_recipe_names_the_topic_of_a_bag(tmp_path: Path) -> None:
    stamps = [START_NS + 100_000_000 * i for i in range(3)]
    topics = {
        "/front/image": [(t, raw_image(picture(i), t)) for i, t in enumerate(stamps)],
        "/rear/image": [(t, raw_image(picture(10 + i), t)) for i, t in enumerate(stamps)],
    }
    bag = write_bag(tmp_path / "drive", topics)
    (front,) = find_recordings(f"{bag}?topic=/front/image", "train")
    (rear,) = find_recordings(f"{bag}?topic=/rear/image", "train")
    assert numbers(f.image for f in front.source()) == [0, 1, 2]
    assert numbers(f.image for f in rear.source()) == [10, 11, 12]
    assert front.fingerprint() != rear.fingerprint()
    (unnamed,) = find_recordings(str(bag), "train")
    with pytest.raises(SourceError, match=r"2 image topics; choose one with --topic, in a recipe with .*\?topic=/TOPIC:\n  /"):
        unnamed.source()


def test_sources_of_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "drive"
    write_images(folder / "frames", ["a7.png", "a10.png"])
    (folder / "meta.json").write_text('{"fps": 17}')
    (plain,) = find_recordings(str(folder), "train")
    (rated,) = find_recordings(f"{folder}?rate=25", "val")
    assert (plain.source().rate_hz, rated.source().rate_hz) == (17, 25)
    assert plain.fingerprint() != rated.fingerprint()
    before = plain.fingerprint()
    write_images(folder / "frames", ["a10.png"], first=3)
    assert find_recordings(str(folder), "train")[0].fingerprint() != before
    (drawn,) = find_recordings("synthetic:seed=3,seconds=1", "train")
    assert len(drawn.source()) == 10 and drawn.files == ()
    with pytest.raises(SourceError, match="does not exist"):
        find_recordings(str(tmp_path / "nowhere"), "train")


def test_wrong_texts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write \$\$"):
        find_recordings("/data/$/kitti", "train")
    with pytest.raises(ConfigError, match="VIDPRED_NOT_SET"):
        find_recordings("$VIDPRED_NOT_SET/kitti", "train")
    with pytest.raises(ConfigError, match=r"no option topic; there are: split, camera"):
        find_recordings("kitti_raw:/data?topic=/x", "train")
    with pytest.raises(ConfigError, match=r"split=dev; it is one of train, val, test"):
        find_recordings("bair:/data?split=dev", "train")
    with pytest.raises(ConfigError, match="key=value"):
        find_recordings("drive.mcap?/camera", "train")
    with pytest.raises(ConfigError, match="rate=fast is no number"):
        find_recordings(f"{tmp_path}?rate=fast", "train")


def test_a_split_that_is_named_goes_first(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected test/TRAJECTORY"):
        find_recordings(f"bair:{tmp_path}?split=test", "train")
