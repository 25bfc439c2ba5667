from __future__ import annotations

from pathlib import Path

import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.nodes.parameter_files import predictor_parameters


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_sections_of_the_predictor_and_of_every_node(tmp_path: Path) -> None:
    first = written(tmp_path / "a.yaml", "/**:\n  ros__parameters: {steps: 3, model: a}\ncamera:\n  ros__parameters: {rate: 5}\n")
    second = written(tmp_path / "b.yaml", "/car/predictor:\n  ros__parameters: {model: b, cameras: [front, left]}\n")
    assert predictor_parameters(first, second) == {"steps": 3, "model": "b", "cameras": ["front", "left"]}


@pytest.mark.parametrize("text", ["", "predictor:\n  ros__parameters:\n"])
def test_nothing_is_set(tmp_path: Path, text: str) -> None:
    assert predictor_parameters(written(tmp_path / "a.yaml", text)) == {}


@pytest.mark.parametrize("text", ["predictor:\n", "steps", "predictor: {steps: 3}", "predictor: {ros__parameters: 3}", "- predictor"])
def test_what_is_no_parameter_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml is no parameter file: expected NODE"):
        predictor_parameters(written(tmp_path / "a.yaml", text))


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", None])
def test_what_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.yaml cannot be read"):
        predictor_parameters(str(tmp_path / "a.yaml"))
