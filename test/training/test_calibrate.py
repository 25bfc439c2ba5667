from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.models import make_model
from typer.testing import CliRunner

from training import calibrate
from vidpred_ros.engines import GraphSpec, cached_file, open_engine
from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ModelError
from vidpred_ros.models import INT8, Int8, ReleasedModel, find_model, list_models

SOURCE = "synthetic:seed=1,seconds=3,rate=10,width=96,height=64"


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> ReleasedModel:
    """A network of few convolutions, calibrated by the command."""
    import typer

    folder = make_model(tmp_path_factory.mktemp("models"), "small", kind="multiscale", scales=1, max_steps=1)
    app = typer.Typer()
    app.command()(calibrate.main)
    result = CliRunner().invoke(app, [str(folder), SOURCE, "--windows", "4"])
    assert result.exit_code == 0, result.output
    return ReleasedModel(folder)


def test_every_convolution_has_a_range_or_is_kept(calibrated: ReleasedModel) -> None:
    int8 = calibrated.int8
    weights = {name for name, w in load_network(calibrated).state_dict().items() if w.ndim == 4}
    assert {name.removeprefix("network.") for name in (*int8.ranges, *int8.kept)} == weights
    assert not int8.ranges.keys() & int8.kept.keys() and all(limit > 0 for limit in int8.ranges.values())
    assert int8.windows == 4 and int8.sources == [SOURCE]
    assert all(difference > calibrate.KEEP_ABOVE for difference in int8.kept.values())


def test_int8_runs_without_data_and_stays_close(calibrated: ReleasedModel) -> None:
    rng = np.random.default_rng(0)
    made = {}
    for name, precision in (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "int8")):
        engine = open_engine(calibrated, name, "whole", 1, precision=precision)
        rng = np.random.default_rng(0)
        frames = {port: rng.integers(0, 256, shape).astype(np.uint8) for port, shape in engine.inputs.items()}
        made[name, precision] = engine.infer(frames)["futures"].astype(int)
        assert engine.precision == precision
        engine.close()
    for key, futures in made.items():
        assert np.abs(futures - made["onnxruntime", "fp32"]).mean() < 2.5, key  # of 255


def test_other_ranges_make_another_file(calibrated: ReleasedModel) -> None:
    spec = GraphSpec("whole", precision="uint8")
    before = cached_file(calibrated, spec)
    other = ReleasedModel(calibrated.folder)
    weight, limit = next(iter(calibrated.int8.ranges.items()))
    other.int8 = calibrated.int8.model_copy(update={"ranges": {**calibrated.int8.ranges, weight: limit * 2}})
    assert cached_file(other, spec) != before == cached_file(ReleasedModel(calibrated.folder), spec)


def test_int8_without_ranges_says_what_to_do(tiny_model: Path) -> None:
    model = ReleasedModel(tiny_model)
    with pytest.raises(ModelError, match=r"no int8.json.*python -m training.calibrate tiny SOURCE"):
        open_engine(model, "onnxruntime", "whole", 1, precision="int8")


def test_ranges_of_other_weights_are_refused(calibrated: ReleasedModel) -> None:
    path = calibrated.folder / INT8
    text = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(text), "weights_sha256": "0" * 64}))
        with pytest.raises(ModelError, match="other weights"):
            _ = ReleasedModel(calibrated.folder).int8
        path.write_text("{")
        with pytest.raises(ModelError, match="cannot be read"):
            _ = ReleasedModel(calibrated.folder).int8
    finally:
        path.write_text(text)


def test_a_source_that_is_too_short_is_an_error(calibrated: ReleasedModel) -> None:
    import typer

    app = typer.Typer()
    app.command()(calibrate.main)
    result = CliRunner().invoke(app, [str(calibrated.folder), "synthetic:seed=1,seconds=0.2,rate=10,width=96,height=64"])
    assert result.exit_code == 2 and "holds no window" in result.output


RELEASED = [model.id for model in list_models() if (model.folder / INT8).is_file()]


@pytest.mark.parametrize("name", RELEASED)
def test_released_ranges_name_convolutions_of_the_network(name: str) -> None:
    model = find_model(name)
    int8: Int8 = model.int8
    weights = {key for key, w in load_network(model).state_dict().items() if w.ndim >= 4}
    assert {key.removeprefix("network.") for key in (*int8.ranges, *int8.kept)} <= weights
    assert len(int8.ranges) > 0.7 * len(weights)
    for entry in int8.scores:  # the limit that the release states
        assert "fp32" in entry["precision"] or entry["lpips_per_cent"] <= 2.0, entry
