"""The predictor's parameters in parameter files, for launch files that have to know some before the node runs. Imports no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def predictor_parameters(*files: str) -> dict[str, Any]:
    """By name, of the sections for every node or for one called predictor; of two values the later counts."""
    found: dict[str, Any] = {}
    for file in files:
        for node, sections in (yaml.safe_load(Path(file).read_text()) or {}).items():
            if node.rpartition("/")[2] in ("predictor", "**"):
                found |= sections.get("ros__parameters", {})
    return found
