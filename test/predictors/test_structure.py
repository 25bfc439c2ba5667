from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from helpers.eyes import Eyes, windows
from helpers.models import LABEL_SIZE, SEGMENTER_SIZE, make_model

from vidpred_ros.errors import ConfigError, EngineError, ModelError
from vidpred_ros.forecast import Forecast
from vidpred_ros.predictors import foretold_motion, long_future, make_predictor, pixels, structure
from vidpred_ros.predictors.long_future import LongFuture, make_long_future
from vidpred_ros.predictors.pixels import PixelRoll, make_pixel_roll
from vidpred_ros.predictors.structure import Structure, make_structure
from vidpred_ros.window import Window

STEPS = 2


def same(a: Forecast, b: Forecast) -> bool:
    pairs = zip(a.horizons, b.horizons, strict=True)
    return np.array_equal(a.samples, b.samples) and all(np.array_equal(x.labels, y.labels) for x, y in pairs)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny_structure, tiny_plain, tiny_cnn, tiny_frames, tiny_s2s, tiny_bounded."""
    folder = tmp_path_factory.mktemp("structures")
    make_model(folder, "tiny_structure", "structure")
    make_model(folder, "tiny_plain", "structure", motion_prior="none")
    make_model(folder, "tiny_cnn", "structure", form="cnn")
    make_model(folder, "tiny_s2s", "s2s")
    make_model(folder, "tiny_bounded", "pixels", edges=True)
    make_model(folder, "tiny_edges", "edges")
    foretells = str(make_model(folder))
    make_model(folder, "tiny_frames", "structure", motion_prior="frames", motion_model=foretells)
    return folder


def make(models: Path, name: str = "tiny_structure", engine: str = "torch", **settings: object) -> Structure:
    return make_structure(str(models / name), Eyes(), engine, STEPS, **({"samples": 2} | settings))


@pytest.mark.parametrize("name", ["tiny_structure", "tiny_plain", "tiny_cnn", "tiny_frames"])
def test_streamed_forecasts_are_those_of_the_whole_window(models: Path, name: str) -> None:
    """Over many frames, with windows skipped at random: the same futures to the pixel, and no frame is segmented twice."""
    stream, whole = make(models, name), make(models, name, stream=False)
    chance, missed, skipped = random.Random(0), 0, 0
    for window in windows(40, stream.window_length):
        if missed < 6 and chance.random() < 0.4:
            missed, skipped = missed + 1, skipped + 1
            continue
        missed = 0
        a, b = stream.predict(window), whole.predict(window)
        # one pass over T maps or T passes over one: torch may round them in another way, and a tie then falls otherwise
        assert (a.samples != b.samples).mean() <= 1e-3
        for x, y in zip(a.horizons, b.horizons, strict=True):
            assert (x.labels != y.labels).mean() <= 1e-3 and (np.abs(x.entropy - y.entropy) > 1e-3).mean() <= 1e-3
    assert skipped > 5 and stream._history._segmenter.asked <= 40 + stream.window_length


def test_a_forecast(models: Path) -> None:
    predictor = make(models, samples=3)
    window = windows(1)[0]
    forecast = predictor.predict(window)
    assert predictor.size == SEGMENTER_SIZE and predictor.label_size == LABEL_SIZE and predictor.window_length == 4
    assert forecast.samples.shape == (3, STEPS, *LABEL_SIZE) and forecast.samples.dtype == np.uint8
    assert [h.step for h in forecast.horizons] == [1, 2]
    assert [h.stamp_ns - forecast.source_stamp_ns for h in forecast.horizons] == [10**8, 2 * 10**8]
    assert set(forecast.occupancy) == {"person", "rider", "car"} and set(forecast.latency_ms) == {"segment", "motion", "encode", "forecast"}
    for horizon in forecast.horizons:
        assert horizon.frame is None and horizon.labels.shape == LABEL_SIZE and horizon.labels.max() < 19
        assert 0 <= horizon.entropy.min() and horizon.entropy.max() <= np.log(19) + 1e-5
        assert 1 / 19 <= horizon.confidence.min() and horizon.confidence.max() <= 1 + 1e-6
    for likely in forecast.occupancy.values():
        assert likely.shape == LABEL_SIZE and 0 <= likely.min() and likely.max() <= 1 + 1e-6


def test_samples_are_drawn_by_seed_and_window(models: Path) -> None:
    first, second = windows(2)
    one, again, other = make(models), make(models), make(models, seed=1)
    drawn = one.predict(first)
    assert same(drawn, again.predict(first)) and not same(drawn, other.predict(first))
    assert not np.array_equal(drawn.samples[0], drawn.samples[1])
    one.predict(second)
    assert same(drawn, one.predict(first)), "what was predicted before does not matter"
    mean = make(models, samples=1)
    assert np.array_equal(mean.predict(first).samples[0, 0], mean.predict(first).horizons[0].labels)


def test_label_maps_of_another_node(models: Path) -> None:
    window = windows(1)[0]
    eyes = Eyes()
    maps = [eyes.segment(frame) for frame in window.frames]
    expected = make(models).predict(window)
    blind = make_structure(str(models / "tiny_structure"), None, "torch", STEPS, samples=2)
    assert blind.needs_frames and not make(models, "tiny_plain").needs_frames
    small = Window(window.stamps_ns, tuple(f[::2, ::2] for f in window.frames), window.epoch, window.sequence, window.period_ns)
    assert blind.predict(small, maps).samples.shape == expected.samples.shape
    assert same(make(models).predict(window, maps), expected)
    with pytest.raises(ConfigError, match="there is no segmenter"):
        blind.predict(window)
    with pytest.raises(ConfigError, match="a label map for each of 4 frames, not 3"):
        blind.predict(window, maps[1:])


def test_a_reset_forgets_the_frames_before_it(models: Path) -> None:
    used, fresh = make(models), make(models)
    seen = windows(4)
    for window in seen:
        used.predict(window)
    again = Window(seen[0].stamps_ns, seen[0].frames, seen[0].epoch + 1, seen[0].sequence + 50, seen[0].period_ns)
    assert same(used.predict(again), fresh.predict(seen[0]))


def test_after_a_frame_that_could_not_be_segmented_it_starts_anew(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used, fresh = make(models), make(models)
    first, second, third = windows(3)
    used.predict(first)
    eyes = used._history._segmenter
    monkeypatch.setattr(eyes, "segment", lambda frame: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        used.predict(second)
    monkeypatch.undo()
    assert same(used.predict(third), fresh.predict(third))


def test_engines_agree(models: Path) -> None:
    there = make(models, engine="openvino")
    tolerance = 0.05 if there.engine.endswith("bf16") else 1e-3
    reference = make(models)
    for window in windows(3):
        a, b = there.predict(window), reference.predict(window)
        assert (a.horizons[0].labels != b.horizons[0].labels).mean() <= tolerance


def test_s2s_is_a_structure_model_too(models: Path) -> None:
    forecast = make_structure(str(models / "tiny_s2s"), Eyes(), "torch", STEPS, samples=8).predict(windows(1)[0])
    assert forecast.samples.shape == (1, STEPS, *LABEL_SIZE)


def test_models_of_the_other_kind_are_refused(models: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tiny is a hierarchical network and predicts no label maps"):
        make_structure(str(tiny_model), Eyes(), "torch")
    with pytest.raises(ModelError, match="tiny_structure is a structure network and predicts label maps: use it with --structure"):
        make_predictor(str(models / "tiny_structure"), "torch")
    generator = make_model(tmp_path, "tiny_pixels", "pixels")
    with pytest.raises(ModelError, match="tiny_pixels is a pixels network and is no predictor"):
        make_predictor(str(generator), "torch")
    with pytest.raises(ConfigError, match="1 to 5 steps, not 6"):
        make_structure(str(models / "tiny_structure"), Eyes(), "torch", 6)
    with pytest.raises(ConfigError, match="1 sample or more"):
        make(models, samples=0)


@pytest.mark.parametrize(("kinds", "fails"), [("motion encode forecast", "encode"), ("motion encode forecast", "forecast"), ("motion step", "step"), ("pixels edges", "edges")])
def test_engines_are_closed_where_the_next_cannot_be_opened(models: Path, monkeypatch: pytest.MonkeyPatch, kinds: str, fails: str) -> None:
    """A GPU's memory is freed by nothing else."""
    opened: list[str] = []

    class Engine:
        name, precision = "tensorrt", "fp16"

        def __init__(self, kind: str) -> None:
            self.kind = kind
            opened.append(kind)

        def close(self) -> None:
            opened.remove(self.kind)

    def open_engine(model: object, engine: object, kind: str, *steps: int, **settings: object) -> Engine:
        if kind == fails:
            raise EngineError("out of memory")
        return Engine(kind)

    def make_them() -> Structure | LongFuture | PixelRoll:
        if "pixels" in kinds:
            return make_pixel_roll(str(models / "tiny_bounded"), "tensorrt", str(models / "tiny_edges"))
        return make_long_future(str(models / "tiny_frames"), Eyes(), "tensorrt") if "step" in kinds else make(models, "tiny_frames")

    for module in (structure, foretold_motion, long_future, pixels):
        monkeypatch.setattr(module, "open_engine", open_engine)
    with pytest.raises(EngineError, match="out of memory"):
        make_them()
    assert not opened
    fails = "none"
    predictor = make_them()
    assert sorted(opened) == sorted(kinds.split())
    predictor.close()
    predictor.close()
    assert not opened


def test_the_rgb_form_predicts_frames(tmp_path: Path) -> None:
    rgb = str(make_model(tmp_path, "tiny_rgb", "structure", space="rgb", motion_prior="none"))
    predictor = make_predictor(rgb, "torch", STEPS)
    forecast = predictor.predict(small_window())
    assert predictor.window_length == 4 and forecast.horizons[1].frame.shape == (*LABEL_SIZE, 3)
    with pytest.raises(ModelError, match="predicts frames, not label maps"):
        make_structure(rgb, Eyes(), "torch")


def small_window() -> Window:
    window = windows(1)[0]
    return Window(window.stamps_ns, tuple(f[::2, ::2] for f in window.frames), window.epoch, window.sequence, window.period_ns)
