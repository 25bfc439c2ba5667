"""The cache of TensorRT plans, with real files, locks and processes. Nothing here needs TensorRT or a GPU."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidpred_ros.engines.plans import REFUSED, Plan, PlanKey, discard, ensure, note, sidecar
from vidpred_ros.errors import EngineError

KEY = PlanKey("0f" * 32, "tensorrt 10.3.0", "Orin", "8.7", "12060", "fp16", "frames 2x32x48x3", "STRONGLY_TYPED")
METADATA = {"vidpred.model": "tiny", "vidpred.delays": '{"s": 1}'}
NAME = "tiny-stream"


class Builder:
    """Writes what it is told and counts how often it is asked."""

    def __init__(self, content: bytes = b"a plan of some length") -> None:
        self.content, self.calls = content, 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        path.write_bytes(self.content)


def test_a_plan_is_built_once_and_its_sidecar_says_all(tmp_path: Path) -> None:
    build = Builder()
    plan = ensure(tmp_path / "new" / "folder", NAME, KEY, METADATA, build)
    assert plan.path.read_bytes() == build.content and plan.metadata == METADATA
    assert ensure(tmp_path / "new" / "folder", NAME, KEY, {}, build) == plan and build.calls == 1
    says = json.loads(sidecar(plan.path).read_text())
    assert says["key"] == {f.name: getattr(KEY, f.name) for f in fields(KEY)}
    assert says["metadata"] == METADATA and says["plan"]["bytes"] == len(build.content)
    assert says["built"].endswith("+00:00") and says["build_seconds"] >= 0
    assert not list(plan.path.parent.glob("*.part"))


@pytest.mark.parametrize("field", [f.name for f in fields(PlanKey)])
def test_a_change_of_anything_in_the_key_builds_anew(tmp_path: Path, field: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build = Builder()
    first = ensure(tmp_path, NAME, KEY, METADATA, build)
    changed = replace(KEY, **{field: "another"})
    second = ensure(tmp_path, NAME, changed, METADATA, build)
    assert build.calls == 2 and first.path != second.path and first.path.exists()
    assert f"is of another {field.replace('_', ' ')} ({getattr(KEY, field)}, now another)" in caplog.text
    assert ensure(tmp_path, NAME, KEY, METADATA, build) == first and build.calls == 2


def damage_truncated(plan: Plan) -> None:
    plan.path.write_bytes(plan.path.read_bytes()[:-1])


def damage_empty(plan: Plan) -> None:
    plan.path.write_bytes(b"")


def damage_flipped(plan: Plan) -> None:
    plan.path.write_bytes(b"X" + plan.path.read_bytes()[1:])


def damage_foreign(plan: Plan) -> None:
    sidecar(plan.path).unlink()


def damage_sidecar(plan: Plan) -> None:
    sidecar(plan.path).write_text(sidecar(plan.path).read_text()[:40])


def damage_list(plan: Plan) -> None:
    sidecar(plan.path).write_text("[1, 2]")


def damage_copied(plan: Plan) -> None:
    """A plan and its sidecar of another machine, renamed."""
    other = ensure(plan.path.parent / "there", NAME, replace(KEY, gpu="Thor"), METADATA, Builder(b"of Thor"))
    plan.path.write_bytes(other.path.read_bytes())
    sidecar(plan.path).write_text(sidecar(other.path).read_text())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_truncated, "it has 20 bytes and not 21"),
        (damage_empty, "it has 0 bytes and not 21"),
        (damage_flipped, "it is damaged: its hash is not the one in its sidecar"),
        (damage_foreign, "it has no sidecar"),
        (damage_sidecar, "its sidecar cannot be read (JSONDecodeError"),
        (damage_list, "its sidecar cannot be read (TypeError"),
        (damage_copied, "it is of another gpu (Thor, now Orin)"),
    ],
)
def test_a_bad_plan_is_built_again_and_the_reason_logged(
    tmp_path: Path, damage: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    build = Builder()
    plan = ensure(tmp_path, NAME, KEY, METADATA, build)
    damage(plan)  # type: ignore[operator]
    assert ensure(tmp_path, NAME, KEY, METADATA, build) == plan
    assert build.calls == 2 and plan.path.read_bytes() == build.content
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and f"building {plan.path.name} again: {reason}" in warnings[0]


def test_a_sidecar_alone_is_no_plan(tmp_path: Path) -> None:
    build = Builder()
    plan = ensure(tmp_path, NAME, KEY, METADATA, build)
    plan.path.unlink()
    assert ensure(tmp_path, NAME, KEY, METADATA, build) == plan and build.calls == 2


def test_a_plan_that_tensorrt_refuses_is_discarded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build = Builder()
    plan = ensure(tmp_path, NAME, KEY, METADATA, build)
    discard(plan, "TensorRT cannot read it")
    assert "TensorRT cannot read it" in caplog.text and not plan.path.exists()
    discard(plan, "a second process that had it open")
    assert ensure(tmp_path, NAME, KEY, METADATA, build) == plan and build.calls == 2


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, True),
        ({"driver": "another"}, True),
        ({"library": "tensorrt 11.0.0", "flags": "other"}, True),
        ({"library": "tensorrt_rtx 10.3.0"}, False),
        ({"precision": "fp32"}, False),
        ({"onnx_sha256": "1e" * 32}, False),
    ],
)
def test_a_plan_that_is_built_anew_is_refused_as_the_one_before(tmp_path: Path, changes: dict[str, str], refused: bool) -> None:
    plan = ensure(tmp_path, NAME, KEY, METADATA, Builder())
    note(plan.path, {"mean": 0.1}, "too far")
    assert ensure(tmp_path, NAME, KEY, METADATA, Builder()).metadata == METADATA | {REFUSED: "too far"}
    discard(plan, "TensorRT cannot read it")
    again = ensure(tmp_path, NAME, replace(KEY, **changes), METADATA, Builder())
    assert again.metadata == METADATA | ({REFUSED: "too far"} if refused else {})
    note(again.path, {"mean": 0.0}, "")
    assert ensure(tmp_path, NAME, replace(KEY, **changes), METADATA, Builder()).metadata == METADATA


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7), of_sidecar=st.booleans())
def test_no_flipped_bit_goes_unseen(position: int, bit: int, of_sidecar: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build = Builder(bytes(range(100)))
        plan = ensure(Path(folder), NAME, KEY, METADATA, build)
        file = sidecar(plan.path) if of_sidecar else plan.path
        whole = file.read_bytes()
        changed = bytearray(whole)
        changed[position % len(changed)] ^= 1 << bit
        file.write_bytes(changed)
        again = ensure(Path(folder), NAME, KEY, METADATA, build)
        assert again.path.read_bytes() == build.content
        if not of_sidecar:
            assert build.calls == 2 and file.read_bytes() == whole
        elif build.calls == 1:  # the flip was in what is only told, or in white space
            said, says = json.loads(whole), json.loads(file.read_bytes())
            assert says["key"] == said["key"] and says["plan"] == said["plan"]


def test_a_failed_build_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise EngineError("out of memory")

    with pytest.raises(EngineError, match="out of memory"):
        ensure(tmp_path, NAME, KEY, METADATA, fail)
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"}
    assert ensure(tmp_path, NAME, KEY, METADATA, Builder()).path.exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"the engine cache .*file/cache cannot be used: .*VIDPRED_CACHE moves it"):
        ensure(tmp_path / "file" / "cache", NAME, KEY, METADATA, Builder())


#: A process that asks for the plan: FOLDER SECONDS OTHERS. Building leaves a line in builds.txt and takes that long once so many
#: processes have asked.
PROCESS = """
import os, sys, time
from pathlib import Path
from vidpred_ros.engines.plans import PlanKey, ensure
folder, seconds, others = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
def build(path):
    with (folder / "builds.txt").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    path.write_bytes(b"half")
    while len(list(folder.glob("asked-*"))) < others:
        time.sleep(0.02)
    time.sleep(seconds)
    path.write_bytes(b"a whole plan")
(folder / f"asked-{os.getpid()}").touch()
key = PlanKey(*["x"] * 8)
plan = ensure(folder, "shared", key, {}, build, lambda text, share: print(text, flush=True))
print(plan.path.read_text(), flush=True)
"""


def start(folder: Path, seconds: float, others: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, str(folder), str(seconds), str(others)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_start_at_once_build_once(tmp_path: Path) -> None:
    said = [process.communicate()[0] for process in [start(tmp_path, 1, others=4) for _ in range(4)]]
    assert len((tmp_path / "builds.txt").read_text().split()) == 1
    assert all(text.endswith("a whole plan\n") for text in said)
    waited = [text for text in said if "waiting for another process that builds shared-" in text]
    assert len(waited) == 3, said


def test_a_process_that_is_killed_while_it_builds_hands_over(tmp_path: Path) -> None:
    first = start(tmp_path, 600)
    while not list(tmp_path.glob("*.part")):
        assert first.poll() is None
        time.sleep(0.02)
    second = start(tmp_path, 0)
    assert second.stdout is not None and "waiting" in second.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.communicate()[0].endswith("a whole plan\n")
    assert len((tmp_path / "builds.txt").read_text().split()) == 2 and not list(tmp_path.glob("*.part"))
