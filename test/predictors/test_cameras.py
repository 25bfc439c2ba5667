"""Cameras that share an engine predict what each of them would predict alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.models import SIZE, make_model

from vidpred_ros import engines
from vidpred_ros.engines import Engine, GraphSpec
from vidpred_ros.engines.choice import EngineChoice
from vidpred_ros.errors import ConfigError, EngineError, ModelError
from vidpred_ros.forecast import Forecast
from vidpred_ros.models import ReleasedModel
from vidpred_ros.predictors import Hierarchical, cameras, make_predictor
from vidpred_ros.predictors.base import Follower
from vidpred_ros.predictors.cameras import CameraSeat, make_predictors
from vidpred_ros.sources.synthetic import SyntheticDrive
from vidpred_ros.window import FrameWindow, Window


def growing(seed: int, count: int) -> list[Window]:
    """The windows of one camera from its first frame on: 1, 2, ... 8, 8, 8 frames."""
    drive = SyntheticDrive(seed=seed, seconds=3, rate=10, width=SIZE[1], height=SIZE[0])
    window, found = FrameWindow(0.1), []
    for frame, _ in zip(drive, range(count), strict=False):
        window.add(frame.stamp_ns, frame.image)
        found.append(window.window(least=1))
    return found


def frames(forecast: Forecast) -> np.ndarray:
    return np.stack([horizon.frame for horizon in forecast.horizons]).astype(int)


def alone(model: Path, windows: Sequence[Window], stream: bool | None = None) -> dict[int, np.ndarray]:
    """Futures by sequence, of a predictor that sees full windows of one camera only."""
    predictor = make_predictor(str(model), "torch", 2, stream=stream)
    return {w.sequence: frames(predictor.predict(w)) for w in windows if len(w.frames) == 8}


def test_cameras_in_turn_share_one_engine(tiny_model: Path) -> None:
    predictors = make_predictors(str(tiny_model), "torch", 2, 3)
    opened = {id(predictor._engine) for predictor in predictors if isinstance(predictor, Hierarchical)}
    assert len(opened) == 1 and len(set(predictors)) == 3
    drives = [growing(seed, 12) for seed in range(3)]
    wanted = [alone(tiny_model, drive) for drive in drives]
    random = np.random.default_rng(0)
    for moment in zip(*drives, strict=True):
        for number in random.permutation(3)[: random.integers(1, 4)]:
            window = moment[number]
            if len(window.frames) == 8:
                got = frames(predictors[number].predict(window))
                assert np.abs(got - wanted[number][window.sequence]).max() <= 1
    for predictor in predictors:
        predictor.close()


def test_a_batch_of_cameras_with_some_absent(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "_on_gpu", lambda engine: True)
    seats = make_predictors(str(tiny_model), "torch", 2, 3)
    assert all(isinstance(seat, CameraSeat) for seat in seats)
    batch = seats[0].batch
    drives = [growing(seed, 14) for seed in range(3)]
    wanted = [alone(tiny_model, drive) for drive in drives]
    drives[1] = drives[1][3:]  # this camera's window is full earlier than the others'
    random, forecasts = np.random.default_rng(1), 0
    for index in range(11):
        waiting = {n: drive[index] for n, drive in enumerate(drives) if random.random() < 0.7}
        got = batch.predict(waiting) if waiting else {}
        assert set(got) == {n for n, window in waiting.items() if len(window.frames) == 8}
        for n, forecast in got.items():
            assert forecast.source_stamp_ns == waiting[n].stamps_ns[-1]
            assert np.abs(frames(forecast) - wanted[n][waiting[n].sequence]).max() <= 1
            forecasts += 1
    assert forecasts > 8
    again = drives[2][-1]
    loop = Window(again.stamps_ns, again.frames, again.epoch + 1, again.sequence + 50, again.period_ns)
    assert np.abs(frames(seats[2].predict(loop)) - wanted[2][again.sequence]).max() <= 1, "a reset of one camera"
    last = drives[0][11]
    assert np.abs(frames(seats[0].predict(last)) - wanted[0][last.sequence]).max() <= 1, "and not of the others"
    seats[0].close()


def test_a_batch_of_a_network_that_does_not_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "_on_gpu", lambda engine: True)
    folder = make_model(tmp_path, "paper", form="paper", head="pixels", motion_prior="none", sway=False, steady=False, rollout="recursive")
    seats = make_predictors(str(folder), "torch", 2, 2)
    drives = [growing(seed, 9) for seed in range(2)]
    got = seats[0].batch.predict({0: drives[0][8], 1: drives[1][7]})
    for n, index in ((0, 8), (1, 7)):
        window = drives[n][index]
        assert np.abs(frames(got[n]) - alone(folder, [window])[window.sequence]).max() <= 1
    assert seats[1].batch.predict({1: drives[1][3]}) == {}, "not full yet"


@pytest.mark.parametrize("stream", [True, False])
def test_following_from_the_first_frame_changes_no_forecast(tiny_model: Path, stream: bool) -> None:
    windows = growing(5, 11)
    wanted = alone(tiny_model, windows, stream)
    predictor = make_predictor(str(tiny_model), "torch", 2, stream=stream)
    assert isinstance(predictor, Follower)
    for window in windows[:2] + windows[3:7]:  # frame 3 came while another was worked on
        predictor.follow(window)
    for window in windows[7:]:
        assert np.array_equal(frames(predictor.predict(window)), wanted[window.sequence])


def test_what_remembers_nothing_serves_all_cameras() -> None:
    assert len(set(make_predictors("copy_last", None, 2, 4))) == 1
    with pytest.raises(ConfigError, match="1 step or more"):
        make_predictors("copy_last", None, 0, 4)


def test_an_unknown_model_is_told_the_names_of_those_of_frames() -> None:
    with pytest.raises(ModelError, match=r"no model 'hrp': .*hrp_tree_w25.*copy_last") as error:
        make_predictors("hrp", None, 1, 2)
    assert "segmenter_lite0" not in str(error.value)


@pytest.mark.parametrize(("engine", "gpu", "batched"), [("tensorrt", True, True), ("torch", True, True), ("torch", False, False), ("openvino", True, False)])
def test_cameras_are_a_batch_where_the_engine_runs_on_a_gpu(
    engine: str, gpu: bool, batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "torch_on_gpu", lambda: gpu)
    assert cameras._on_gpu(engine) is batched


def test_cameras_take_turns_on_the_cpu_that_takes_a_gpu_s_place(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, int] = {}
    really = engines._open

    def open_one(model: ReleasedModel, name: str, spec: GraphSpec, choice: EngineChoice) -> Engine:
        asked[name] = spec.batch
        if name == "tensorrt":
            raise EngineError("out of memory")
        return really(model, name, spec, choice)

    monkeypatch.setattr(engines, "candidates", lambda precision: ["tensorrt", "torch"])
    monkeypatch.setattr(engines, "_open", open_one)
    predictors = make_predictors(str(tiny_model), None, 2, 3)
    assert asked == {"tensorrt": 3, "torch": 1}
    assert all(isinstance(predictor, Hierarchical) for predictor in predictors) and len(set(predictors)) == 3
    predictors[0].close()


@pytest.mark.parametrize("batched", [False, True])
def test_after_an_error_the_stream_starts_anew(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, batched: bool) -> None:
    monkeypatch.setattr(cameras, "_on_gpu", lambda engine: batched)
    windows = growing(4, 13)[7:]
    wanted = alone(tiny_model, windows)
    one, other = make_predictors(str(tiny_model), "torch", 2, 2)
    stream = one.batch._stream if isinstance(one, CameraSeat) else one._stream  # type: ignore[union-attr]
    assert stream is not None
    push = stream.push
    for index, window in enumerate(windows):
        if index == 2:
            monkeypatch.setattr(stream, "push", lambda *inputs: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                one.predict(window)
            monkeypatch.setattr(stream, "push", push)
        else:
            assert np.abs(frames(one.predict(window)) - wanted[window.sequence]).max() <= 1
    other.close()
