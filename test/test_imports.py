"""The arrows of import: a room uses the rooms below it, ROS stays in the nodes, torch out of every running node."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Upper rooms first. A module may import rooms that stand after its own.
ROOMS = [
    "cli",
    "commands",
    "doctor",
    "bench",
    "build",
    "nodes",
    "evaluation",
    "training",
    "predictors",
    "segmenters",
    "sources",
    "metrics",
    "engines",
    "models",
    "networks",
]
#: Imports that one room owns, with the files that may have them.
OWNED = {
    "torch": ("vidpred_ros/networks/", "vidpred_ros/engines/", "training/", "test/"),
    "rclpy": ("vidpred_ros/nodes/", "test/"),
    "sensor_msgs": ("vidpred_ros/nodes/", "test/"),
    "launch": ("launch/", "test/"),
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def room_of(parts: Sequence[str]) -> str:
    """The room of a module or a file, by the parts of its name; "" for what is in none."""
    inside = 1 if parts[0] == "vidpred_ros" else 0
    return parts[inside] if parts[0] in ("vidpred_ros", "training") and len(parts) > inside else ""


def test_rooms_import_downwards_only() -> None:
    upward = []
    for path in sources("vidpred_ros", "training"):
        room = room_of(path.relative_to(ROOT).with_suffix("").parts)
        above = ROOMS[: ROOMS.index(room)] if room in ROOMS else ROOMS
        upward += [f"{path.relative_to(ROOT)} imports {name}" for name in imports(path) if room_of(name.split(".")) in above]
    assert not upward


@pytest.mark.parametrize("library", OWNED)
def test_libraries_stay_in_their_rooms(library: str) -> None:
    strays = [
        path.relative_to(ROOT).as_posix()
        for path in sources("vidpred_ros", "training", "launch", "test")
        if any(name.split(".")[0] == library for name in imports(path))
        and not path.relative_to(ROOT).as_posix().startswith(OWNED[library])
    ]
    assert not strays


@pytest.mark.parametrize(
    "module", ["vidpred_ros.cli", "vidpred_ros.nodes.predictor", "vidpred_ros.nodes.camera"]
)
def test_starting_a_program_does_not_import_torch(module: str) -> None:
    if ".nodes." in module:
        pytest.importorskip("rclpy")
    ask = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], cwd=ROOT, check=False).returncode == 0
