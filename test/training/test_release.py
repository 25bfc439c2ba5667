"""What `vidpred export` makes of a checkpoint is tested as a whole in test/commands/test_export.py."""

from __future__ import annotations

import pytest

from training.release import name_of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("$VIDPRED_DATA/kitti_turn", "kitti_turn"),
        ("/home/ann/drives/monday/", "monday"),
        ("/home/ann/bags/drive.mcap?topic=/front/image_raw", "drive.mcap?topic=/front/image_raw"),
        ("kitti_raw:/home/ann/kitti?camera=image_03", "kitti_raw?camera=image_03"),
        ("caltech:$VIDPRED_CALTECH", "caltech"),
        ("synthetic:seed=21,seconds=30", "synthetic:seed=21,seconds=30"),
    ],
)
def test_a_card_names_the_data_and_no_folder_of_the_machine(text: str, name: str) -> None:
    assert name_of(text) == name
