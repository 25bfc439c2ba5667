import subprocess
import sys
from collections import namedtuple
from xml.etree import ElementTree

import pytest

from vidpred_ros.nodes import middleware

SPACE = {"dds": "http://www.eprosima.com"}


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(middleware.PROFILE_VARIABLE, raising=False)
    monkeypatch.delenv(middleware.OLD_PROFILE_VARIABLE, raising=False)


def with_shared_memory(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(middleware.shutil, "disk_usage", lambda path: usage(free, 0, free))


def test_the_profile_is_the_package_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_shared_memory(monkeypatch, 2**30)
    (name, path), *rest = middleware.profile_environment().items()
    assert name == "FASTDDS_DEFAULT_PROFILES_FILE" and not rest
    root = ElementTree.parse(path).getroot()
    frame = 1280 * 720 * 3
    assert int(root.findtext(".//dds:segment_size", namespaces=SPACE) or 0) > 20 * frame
    assert int(root.findtext(".//dds:maxMessageSize", namespaces=SPACE) or 0) > 2 * frame
    declared = {
        element.text for element in root.iterfind(".//dds:transport_descriptor/dds:transport_id", SPACE)
    }
    used = {element.text for element in root.iterfind(".//dds:userTransports/dds:transport_id", SPACE)}
    assert declared == used == {"shared_memory", "udp"}
    participant = root.find(".//dds:participant", SPACE)
    assert participant is not None and participant.get("is_default_profile") == "true"


@pytest.mark.parametrize("variable", [middleware.PROFILE_VARIABLE, middleware.OLD_PROFILE_VARIABLE])
def test_a_user_s_own_profile_stays(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with_shared_memory(monkeypatch, 2**30)
    monkeypatch.setenv(variable, "/mine.xml")
    assert middleware.profile_environment() == {}
    assert middleware.profile_in_use() == "/mine.xml"


def test_no_profile_where_its_segments_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    with_shared_memory(monkeypatch, 64 * 2**20)  # a container's default
    assert middleware.profile_environment() == {}


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="config/no_such.xml"):
        middleware.config_file("no_such.xml")


def test_freed_memory_is_kept_for_the_next_frame() -> None:
    """Six frames of 2.7 MB, allocated and freed again and again, cost page faults only once."""
    program = """
import array, resource
from vidpred_ros.nodes import middleware
middleware.keep_freed_memory()
frame = b"\\1" * 2_764_800
def hold_frames():
    held = [array.array("B") for _ in range(6)]
    for data in held:
        data.frombytes(frame)
for _ in range(3):
    hold_frames()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    hold_frames()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 675, "fewer faults than one frame has pages; malloc's default takes 80 000"
