"""Label futures of every window, and long ones, as files."""

from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from helpers.eyes import Eyes
from helpers.models import LABEL_SIZE, make_model
from typer.testing import CliRunner

from vidpred_ros.cli import app
from vidpred_ros.commands import predict_labels
from vidpred_ros.commands.predict_labels import (
    SHOT,
    STRIDE,
    Pixels,
    fvd_steps,
    write_long_future,
    write_windows,
)
from vidpred_ros.errors import ConfigError, ModelError, SourceError
from vidpred_ros.predictors.long_future import make_long_future
from vidpred_ros.predictors.pixels import make_pixel_roll
from vidpred_ros.predictors.structure import make_structure
from vidpred_ros.sources import open_source

DRIVE = "synthetic:seed=1,seconds={seconds},rate=10,width=128,height=64"


def drive(seconds: float = 1.0):
    return open_source(DRIVE.format(seconds=seconds))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder, "tiny_structure", "structure")
    make_model(folder, "tiny_pixels", "pixels")
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "index.csv").open() as file:
        return list(csv.DictReader(file))


def length(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_every_window(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predictor = make_structure(str(models / "tiny_structure"), Eyes(), "torch", 2, samples=2)
    count = write_windows(drive(), predictor, out)
    found = rows(out)
    assert count == 7 and len(found) == 14 and length(out / "forecast.mp4") == 7
    for row in found:
        labels = cv2.imread(str(out / row["file"]), cv2.IMREAD_UNCHANGED)
        assert labels.shape == LABEL_SIZE and labels.dtype == np.uint8 and labels.max() < 19
        assert int(row["stamp_ns"]) - int(row["source_stamp_ns"]) == int(row["step"]) * 10**8
    with pytest.raises(SourceError):
        write_windows(drive(0.3), predictor, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def mean_colours(clips: np.ndarray) -> np.ndarray:
    return clips.mean(axis=(1, 2)).reshape(len(clips), -1).astype(np.float32)[:, :8]


@pytest.mark.parametrize("propagate", [False, True])
def test_a_long_future(models: Path, tmp_path: Path, propagate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_labels, "ENOUGH_SHOTS", 2)  # three are pooled
    out, eyes = tmp_path / "out", Eyes()
    source, steps = drive(3.5), SHOT + 3 * STRIDE
    with (
        closing(make_long_future(str(models / "tiny_structure"), eyes, "torch", 1)) as future,
        closing(make_pixel_roll(str(models / "tiny_pixels"), "torch")) as roll,
    ):
        files = write_long_future(source, future, steps, out, Pixels([roll], eyes if propagate else None, mean_colours))
    assert files == ["labels", "index.csv", "labels.mp4", "rgb.mp4", "fvd.csv", "fvd.png"]
    assert all((out / name).exists() for name in files)
    assert length(out / "labels.mp4") == length(out / "rgb.mp4") == len(rows(out)) == steps
    last = [frame.stamp_ns for frame in source][-1]
    assert {int(row["source_stamp_ns"]) for row in rows(out)} == {last}
    assert eyes.asked == 4 + propagate * steps
    with (out / "fvd.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [int(row["first_frame"]) for row in curve] == [1 + STRIDE * i for i in range(4)]
    assert all(float(row["fvd"]) > 0 for row in curve) and len({row["fvd"] for row in curve}) > 1
    assert {row["shots_before_and_after"] for row in curve} == {"1"}


def test_no_curve_of_which_every_point_is_of_all_shots(models: Path, tmp_path: Path) -> None:
    assert [fvd_steps(samples) for samples in (1, 2, 8)] == [SHOT + 9 * STRIDE, SHOT + 5 * STRIDE, SHOT + STRIDE]
    with (
        closing(make_long_future(str(models / "tiny_structure"), Eyes(), "torch", 1)) as future,
        closing(make_pixel_roll(str(models / "tiny_pixels"), "torch")) as roll,
    ):
        files = write_long_future(drive(2.6), future, SHOT + STRIDE, tmp_path / "out", Pixels([roll], None, mean_colours))
    assert files == ["labels", "index.csv", "labels.mp4", "rgb.mp4"]


def test_a_long_future_of_samples_from_a_moment(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with closing(make_long_future(str(models / "tiny_structure"), Eyes(), "torch", 2)) as future:
        assert write_long_future(drive(), future, 3, out, at_s=0.5) == ["labels", "index.csv", "labels.mp4"]
        stamps = [frame.stamp_ns for frame in drive()]
        assert {int(row["source_stamp_ns"]) for row in rows(out)} == {stamps[5]} and len(rows(out)) == 6
        with pytest.raises(ConfigError, match="the last one ends at 0.9 s"):
            write_long_future(drive(), future, 3, tmp_path / "late", at_s=2)
        with pytest.raises(SourceError):
            write_long_future(drive(0.3), future, 3, tmp_path / "short")
    assert not (tmp_path / "late").exists() and not (tmp_path / "short").exists()


def test_the_command(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("vidpred_ros.commands.predict.DEFAULT_PIXELS", "no_such_model")
    eyes = str(make_model(tmp_path, "tiny_eyes", "segmenter"))
    words = ["predict", DRIVE.format(seconds=1), "--structure-model", str(models / "tiny_structure"), "--segmenter", eyes]
    words += ["--engine", "torch", "--structure", "--samples", "2"]
    done = CliRunner().invoke(app, [*words, "-k", "2", "-o", str(tmp_path / "windows")], catch_exceptions=False)
    assert done.exit_code == 0 and "7 windows" in done.output and (tmp_path / "windows" / "forecast.mp4").exists()
    done = CliRunner().invoke(app, [*words, "-k", "31", "-o", str(tmp_path / "long")], catch_exceptions=False)
    assert done.exit_code == 0 and "Label maps only" in done.output and len(rows(tmp_path / "long")) == 62
    done = CliRunner().invoke(app, [*words, "-k", "6", "-o", str(tmp_path / "more")], catch_exceptions=False)
    assert done.exit_code == 0 and len(rows(tmp_path / "more")) == 12, "more than the model foretells at once is a long future"
    with pytest.raises(ModelError, match="copy_last is a baseline"):
        CliRunner().invoke(app, [*words, "--structure-model", "copy_last", "-o", str(tmp_path / "no")], catch_exceptions=False)
    for more in (["-k", "2", "--pixels", "x"], ["-k", "2", "--propagate", "rgb"]):
        with pytest.raises(ConfigError, match="are of long futures"):
            CliRunner().invoke(app, [*words, *more, "-o", str(tmp_path / "no")], catch_exceptions=False)
    with pytest.raises(ConfigError, match="need a pixel generator"):
        CliRunner().invoke(app, [*words, "-k", "40", "--propagate", "rgb", "-o", str(tmp_path / "no")], catch_exceptions=False)
