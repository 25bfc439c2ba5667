"""``vidpred models``: the list, and what one card says."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vidpred_ros import cli
from vidpred_ros.commands.models import first_score, print_card, short_licence
from vidpred_ros.errors import ModelError
from vidpred_ros.models import list_models


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_80_columns_and_a_few_lines_hold_the_list() -> None:
    result = CliRunner().invoke(cli.app, ["models"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) < 6 + 5 * len(list_models()) and "…" not in result.output
    for model in list_models():
        (row,) = [line for line in lines if line.startswith(f"{model.id} ")]
        height, width = model.card.size
        assert f"{width}x{height}" in row
    assert "copy_last, optical_flow" in lines[-1]


def test_one_model_has_its_whole_card() -> None:
    (model,) = [one for one in list_models() if one.id == "hrp_tree_w25"]
    for name in (model.id, str(model.folder)):
        result = CliRunner().invoke(cli.app, ["models", name])
        assert result.exit_code == 0, result.output
        text = " ".join(result.output.split())
        assert model.card.training.licence in text and "optical flow" in text and "…" not in text
        for score in model.card.scores:
            assert f"{score['ssim']:.3f} / {score['psnr']:.1f} / {score['lpips']:.3f}" in text


def test_what_was_not_computed_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A release that was evaluated without the weights of LPIPS."""
    (model,) = [one for one in list_models() if one.id == "hrp_tree_w25"]
    model.card = model.card.model_copy(
        update={"scores": [{"source": "drive", "seconds": 0.1, "ssim": 0.71236, "psnr": 20.0, "lpips": None, "copy_last": "0.3821 / 15.4 / n/a"}]}
    )
    print_card(Console(width=80), model)
    assert "0.712 / 20.0 / n/a  0.382 / 15.4 / n/a" in capsys.readouterr().out


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(cli.app, ["models", "nosuch"]).exception, ModelError)
    result = CliRunner().invoke(cli.app, ["models", "copy_last"])
    assert result.exit_code == 0 and "baseline" in result.output


@pytest.mark.parametrize(
    ("licence", "short"),
    [
        ("KITTI CC BY-NC-SA 3.0, ours", "non-commercial"),
        ("for research; not for commercial use", "non-commercial"),
        ("a course clip (MIT): free for any use", "free for any use"),
        ("of your data", "of your data"),
        ("a licence of very many words that nobody reads", "a licence of very many ..."),
    ],
)
def test_a_licence_in_short(licence: str, short: str) -> None:
    assert short_licence(licence) == short


@pytest.mark.parametrize(
    ("scores", "short"),
    [
        ([], "none yet"),
        ([{"source": "drive", "fvd": 3.0}], "see its card"),
        ([{"source": "synthetic:seed=1,seconds=2", "seconds": 0.1, "ssim": 0.7142, "lpips": 0.1}], "SSIM 0.714, +0.1 s\nsynthetic:seed=1"),
        ([{"source": "drive", "miou": 0.2713}], "mIoU 0.271\ndrive"),
        ([{"source": "drive", "ssim": None, "psnr": 20.12}], "PSNR, dB 20.1\ndrive"),
    ],
)
def test_a_score_in_short(scores: list[dict[str, object]], short: str) -> None:
    assert first_score(scores) == short
