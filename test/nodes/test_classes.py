import json
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from vidpred_ros import semantics
from vidpred_ros.nodes import classes


def test_the_table_names_every_class_with_its_colour() -> None:
    table = json.loads(classes.table_message().data)
    assert table["ignore"] == 255
    rows = {row["id"]: row for row in table["classes"]}
    assert [rows[id]["name"] for id in range(19)] == list(semantics.CLASS_NAMES)
    assert rows[13] == {"id": 13, "name": "car", "rgb": [0, 0, 142], "moving": True}
    assert rows[0] == {"id": 0, "name": "road", "rgb": [128, 64, 128], "moving": False}
    assert {id for id, row in rows.items() if row["moving"]} == set(semantics.MOVING)


def test_label_info_of_vision_msgs(monkeypatch: pytest.MonkeyPatch) -> None:
    if classes.LabelInfo is None:  # fields of vision_msgs 4: VisionClass {class_id, class_name}, LabelInfo {class_map}

        def vision_class(*, class_id: int, class_name: str) -> Any:
            return SimpleNamespace(class_id=class_id, class_name=class_name)

        def label_info(*, header: Any, class_map: list[Any]) -> Any:
            return SimpleNamespace(header=header, class_map=class_map)

        monkeypatch.setattr(classes, "VisionClass", vision_class)
        monkeypatch.setattr(classes, "LabelInfo", label_info)
    info = classes.label_info_message(3_000_000_000, "front")
    assert {entry.class_id: entry.class_name for entry in info.class_map} == dict(enumerate(semantics.CLASS_NAMES))
    assert (info.header.stamp.sec, info.header.frame_id) == (3, "front")
