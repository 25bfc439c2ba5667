"""The table of classes as messages, so that a subscriber knows what the ids of a label map mean."""

from __future__ import annotations

import json
from typing import Any

from std_msgs.msg import String

from vidpred_ros import semantics
from vidpred_ros.nodes.messages import header

try:  # of an installed ROS; the wheels have none
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = VisionClass = None


def class_rows() -> list[dict[str, Any]]:
    """Every class: id, name, rgb (three bytes), moving (whether it moves by itself)."""
    return [
        {"id": id, "name": name, "rgb": semantics.PALETTE[id].tolist(), "moving": id in semantics.MOVING}
        for id, name in enumerate(semantics.CLASS_NAMES)
    ]


def table_message() -> String:
    """The table as JSON: {"classes": ``class_rows()``, "ignore": the id of pixels that belong to no class}."""
    return String(data=json.dumps({"classes": class_rows(), "ignore": semantics.IGNORE}))


def label_info_message(stamp_ns: int, frame_id: str) -> Any:
    """The table as vision_msgs/LabelInfo; 255 is its UNLABELED too. The threshold stays 0: the likeliest class counts."""
    classes = [VisionClass(class_id=row["id"], class_name=row["name"]) for row in class_rows()]
    return LabelInfo(header=header(stamp_ns, frame_id), class_map=classes)
