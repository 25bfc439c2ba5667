from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import numbers, picture, write_images
from helpers.disk import no_room

from training.datasets.frames import decode, open_sequences
from training.datasets.recording import ImageFiles, Recording
from vidpred_ros.errors import SourceError
from vidpred_ros.sources.base import SourceFrame


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sequences"


def write_folder(path: Path, first: int = 0, frames: int = 6) -> str:
    write_images(path, [f"{i}.png" for i in range(frames)], first)
    return str(path)


def test_many_sequences_are_decoded_at_once_and_only_once(tmp_path: Path, cache: Path) -> None:
    texts = [write_folder(tmp_path / name, 10 * i) for i, name in enumerate("abc")]
    opened = open_sequences(texts, (16, 16), "train", False)
    assert [numbers(s.frames[:]) for s in opened] == [list(range(10 * i, 10 * i + 6)) for i in range(3)]
    assert all(s.frames.shape == (6, 16, 16, 3) and s.frames[0].dtype == np.uint8 and s.rate_hz == 10 for s in opened)
    times = {file: file.stat().st_mtime_ns for file in cache.glob("*.npy")}
    again = open_sequences(texts, (16, 16), "train", False)
    assert [s.key for s in again] == [s.key for s in opened] and len({s.key for s in again}) == 3
    assert {file: file.stat().st_mtime_ns for file in cache.glob("*.npy")} == times and len(times) == 3


def test_frames_are_kept_as_they_are_for_random_crops(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    (whole,), (fitted,) = (open_sequences(folder, (16, 16), "train", random) for random in (True, False))
    assert whole.frames.shape == (6, 24, 32, 3) and fitted.frames.shape == (6, 16, 16, 3)
    assert whole.key != fitted.key


def test_changed_files_are_decoded_anew_without_reading_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "a")
    (first,) = open_sequences(folder, (16, 16), "train", False)
    write_images(tmp_path / "a", ["0.png"], first=40)
    (changed,) = open_sequences(folder, (16, 16), "train", False)
    assert numbers(changed.frames[:]) == [40, 1, 2, 3, 4, 5] and numbers(first.frames[:]) == [0, 1, 2, 3, 4, 5]
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read, but its frames are in the cache"))
    (again,) = open_sequences(folder, (16, 16), "train", False)
    assert again.key == changed.key


def test_a_cache_that_is_not_whole_is_made_again(tmp_path: Path, cache: Path) -> None:
    folder = write_folder(tmp_path / "a")
    open_sequences(folder, (16, 16), "train", False)
    (frames,), (notes,) = cache.glob("*.npy"), cache.glob("*.json")
    whole = frames.read_bytes()
    (cache / "left.1.part").write_bytes(b"of a process that was killed")
    for damage in (
        lambda: frames.write_bytes(whole[:3000]),
        lambda: frames.unlink(),
        lambda: notes.write_text("{"),
        lambda: notes.write_text(json.dumps({"shape": 3})),
    ):
        damage()
        (again,) = open_sequences(folder, (16, 16), "train", False)
        assert numbers(again.frames[:]) == list(range(6)) and frames.read_bytes() == whole
    assert not list(cache.glob("*.part"))


def test_damaged_data_are_named_and_leave_nothing_behind(tmp_path: Path, cache: Path) -> None:
    good, bad = write_folder(tmp_path / "good"), write_folder(tmp_path / "bad")
    (tmp_path / "bad" / "3.png").write_bytes((tmp_path / "bad" / "3.png").read_bytes()[:40])
    with pytest.raises(SourceError, match=r"bad/3\.png"):
        open_sequences([good, bad], (16, 16), "train", False)
    with pytest.raises(SourceError, match=r"bad/3\.png"):
        open_sequences(bad, (16, 16), "train", False)
    assert len(list(cache.glob("*.npy"))) <= 1
    files = write_images(tmp_path / "few", ["0.png", "1.png"])
    short = Recording("few", partial(ImageFiles, files, "few", 10.0), tuple(files), expected=30)
    with pytest.raises(SourceError, match="few: 2 of 30 frames"):
        decode(short, cache / "x.npy", None, lambda: None)
    assert not (cache / "x.npy").exists()


class Dropping:
    """A source whose frames cannot all be decoded, like a bag; it makes them as they are asked for."""

    name, rate_hz = "dropping", 4.0

    def __init__(self, size: int = 24) -> None:
        self.alive, self.most, self.size = 0, 0, size

    def __len__(self) -> int:
        return 20

    def __iter__(self):
        for i in range(15):
            yield SourceFrame(i, picture(i, self.size if i < 10 else 24))

    def fingerprint(self) -> str:
        return f"dropping {self.size}"


def test_frames_that_are_dropped_leave_no_empty_frames(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from training.datasets import frames

    monkeypatch.setattr(frames, "find_recordings", lambda text, split: [Recording("dropping", Dropping, ())])
    (sequence,) = open_sequences("dropping", (16, 16), "train", False)
    assert numbers(sequence.frames[:]) == list(range(15)) and len(sequence.frames) == 15 and sequence.rate_hz == 4
    assert numbers(sequence.frames[::5]) == [0, 5, 10] and numbers([sequence.frames[-1]]) == [14]
    assert "dropping: 5 frames cannot be decoded" in caplog.text


def test_frames_of_two_sizes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.datasets import frames

    monkeypatch.setattr(frames, "find_recordings", lambda text, split: [Recording("two", partial(Dropping, 16), ())])
    with pytest.raises(SourceError, match="two: its frames differ in size; frame 10 is 32x24"):
        open_sequences("two", (16, 16), "train", True)


def stopped_recording(name: str = "stopped", stamps: tuple[int, ...] = (0, 100, 205, 700, 800, 890, 400, 500)) -> Recording:
    """A camera that was stopped after its third frame, and whose clock was set back after its sixth. Stamps in ms."""

    class Stopped(ImageFiles):
        def __iter__(self):
            for i, stamp in enumerate(stamps):
                yield SourceFrame(stamp * 1_000_000, picture(i))

    return Recording(name, lambda: Stopped([Path(name)] * len(stamps), name, 10.0), ())


def test_a_sequence_has_parts_between_gaps_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from training.datasets import frames

    monkeypatch.setattr(frames, "find_recordings", lambda text, split: [stopped_recording()])
    monkeypatch.setattr(Recording, "fingerprint", lambda recording: recording.name)
    for _ in range(2):  # as decoded, and as found in the cache
        (sequence,) = open_sequences("stopped", (16, 16), "train", False)
        assert sequence.breaks == (3, 6) and "stopped has gaps in time (2)" in caplog.text
        assert [numbers(part.frames[:]) for part in sequence.parts()] == [[0, 1, 2], [3, 4, 5], [6, 7]]
        assert numbers(sequence.parts()[1].frames[::2]) == [3, 5] and len(sequence.parts()[2].frames) == 2
    assert frames.gaps([0, 100, 149, 300, 450]) == () and frames.gaps([0, 10, 20, 36]) == (3,)  # jitter, and a frame lost
    assert frames.gaps([0, 1, 1, 2]) == (2,) and frames.gaps([7]) == () and frames.gaps([7, 7, 7]) == ()


def test_a_disk_without_room_is_an_error_before_the_first_frame_is_written(tmp_path: Path, cache: Path) -> None:
    folder = write_folder(tmp_path / "a")
    cache.mkdir(parents=True)
    with no_room(), pytest.raises(SourceError, match=r"a: its frames need 0\.0 GB in .*sequences, [0-9.]+ GB are free .*VIDPRED_CACHE"):
        open_sequences(folder, (16, 16), "train", False)
    assert not list(cache.glob("*.part")) and not list(cache.glob("*.npy"))


def test_many_sequences_do_not_hold_files_open(tmp_path: Path) -> None:
    texts = [write_folder(tmp_path / name, frames=2) for name in "ab"]
    opened = open_sequences(texts, (16, 16), "train", False)
    before = len(os.listdir("/proc/self/fd"))
    levels = [s.frames[0].mean() for s in opened for _ in range(50)]
    assert len(levels) == 100 and len(os.listdir("/proc/self/fd")) == before
