"""Class tables: what other label maps mean, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.semantics import (
    BICYCLE,
    CAMVID,
    CAR,
    CITYSCAPES,
    CLASS_NAMES,
    IGNORE,
    PALETTE,
    PERSON,
    POLE,
    RIDER,
    ROAD,
    SIDEWALK,
    SKY,
    TRAFFIC_SIGN,
    TRAIN_IDS,
    VEGETATION,
    colorize,
    make_class_table,
    read_class_table,
    train_id,
)


def labels(*ids: int) -> np.ndarray:
    return np.array([ids], np.uint8)


def test_train_ids_stay() -> None:
    ids = labels(*range(19), 255)
    np.testing.assert_array_equal(TRAIN_IDS.translate(ids), ids)


def test_camvid_is_mapped_to_what_is_nearest() -> None:
    mapped = CAMVID.translate(labels(*range(12)))[0]
    assert mapped.tolist() == [SKY, 2, POLE, ROAD, SIDEWALK, VEGETATION, TRAFFIC_SIGN, 4, CAR, PERSON, RIDER, IGNORE]


def test_cityscapes_label_ids() -> None:
    """cityscapesScripts: road 7, car 26, bicycle 33; ego vehicle 1, parking 9 and trailer 30 are not evaluated."""
    assert CITYSCAPES.translate(labels(7, 26, 33, 1, 9, 30))[0].tolist() == [ROAD, CAR, BICYCLE, IGNORE, IGNORE, IGNORE]
    assert len(CITYSCAPES.ids) == 35


def test_unknown_ids_are_named() -> None:
    with pytest.raises(ConfigError, match=r"class table camvid does not know: 12, 200"):
        CAMVID.translate(labels(0, 12, 200))


@pytest.mark.parametrize("name", ["Traffic-Light", "traffic_light", " TRAFFIC  light "])
def test_spelling_does_not_matter(name: str) -> None:
    assert CLASS_NAMES[train_id(name)] == "traffic light"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {0: road, 1: spaceship}", r"table.yaml: id 1: unknown class 'spaceship'; classes are road, sidewalk"),
        ("classes: {300: road}", "id 300: ids are whole numbers"),
        ("classes: {road: 0}", "id 'road': ids are whole numbers"),
        ("classes: {0: void}", "no id means a class"),
        ("ids: [road]", "expected classes"),
        ("[road]", "expected classes"),
        ("classes: {0: road", "cannot be read"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_class_table(path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no class table .*nowhere.yaml"):
        read_class_table(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", ["classes: [road, tree]\nignore: 9", "classes: {0: road, 1: vegetation}\nignore: [9]"])
def test_a_table_is_a_list_or_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(text)
    assert read_class_table(path).translate(labels(1, 0, 9))[0].tolist() == [VEGETATION, ROAD, IGNORE]


def test_ignored_ids_win() -> None:
    assert make_class_table("x", {0: "road", 1: "car"}, [1]).translate(labels(0, 1))[0].tolist() == [ROAD, IGNORE]


def test_tables_that_differ_print_differently() -> None:
    assert str(make_class_table("x", {0: "road"})) != str(make_class_table("x", {0: "car"}))


def test_colours_of_cityscapes() -> None:
    assert colorize(labels(CAR, IGNORE, 19))[0].tolist() == [PALETTE[CAR].tolist(), [0, 0, 0], [0, 0, 0]]
