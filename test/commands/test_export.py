"""``vidpred export``: a checkpoint becomes a model folder, with a card that keeps what its author wrote."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch to make a checkpoint")

import onnx
from helpers.models import TINY, make_checkpoint

from training.recipe import load_recipe
from vidpred_ros import cli
from vidpred_ros.models import CARD, ReleasedModel, read_card
from vidpred_ros.semantics import CLASS_NAMES


@pytest.fixture
def vidpred(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command, in this process: its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vidpred", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out + printed.err

    return run


def metrics(path: Path, sha: str, **methods: object) -> Path:
    values = {"ssim": 0.61234, "psnr": 20.5, "lpips": None, "lpips_reason": "no weights"}
    protocol = {"windows": 12}
    horizon = {"step": 1, "seconds": 0.1, "methods": {"predictor": values, "copy_last": values, **methods}}
    results = {"source": "/data/drive_7", "engine": "openvino bf16", "weights_sha256": sha, "data_sha256": "ab" * 32}
    path.write_text(json.dumps(results | {"protocol": protocol, "horizons": [horizon]}))
    return path


@pytest.mark.parametrize("kind", TINY)
def test_a_checkpoint_becomes_a_model_and_its_recipe_trains_again(vidpred, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "mine"
    checkpoint = make_checkpoint(tmp_path / "last.pt", kind)
    code, said = vidpred("export", checkpoint, "--out", out, "--licence", "CC BY 4.0: ours")
    assert code == 0, said
    model = ReleasedModel(out)
    assert model.verified_weights.is_file() and model.card.network.kind == kind
    assert load_recipe(str(out / "recipe.yaml")).network == model.card.network
    readme = (out / "README.md").read_text()
    assert readme.startswith("# mine\n") and "CC BY 4.0: ours" in readme and "Not measured yet" in readme
    papers = {"hierarchical": "Shouno 2020", "multiscale": "LeCun 2016", "stochastic": "Denton and Fergus 2018"}
    papers |= {"segmenter": "Tan and Le 2019", "s2s": "Luc 2017"}
    assert papers.get(kind, "Lee 2021") in readme
    assert "width" not in TINY[kind] or f"width {TINY[kind]['width']}" in readme


@pytest.mark.parametrize(("kind", "row"), [("structure", "0.500 / 0.250 / 0.750 | n/a / n/a / 0.700"), ("segmenter", "0.750 | 0.700")])
def test_scores_of_label_maps_are_those_of_the_model_that_was_measured(vidpred, tmp_path: Path, kind: str, row: str) -> None:
    out = tmp_path / "mine"
    assert vidpred("export", make_checkpoint(tmp_path / "last.pt", kind), "-o", out, "--licence", "ours")[0] == 0
    card = read_card(out)
    assert card.classes == list(CLASS_NAMES) and card.window == (4 if kind == "structure" else 1)
    assert card.size == tuple(TINY[kind]["size"])
    methods = {"copy_last": (0.25, None), "segmenter": (0.75, 0.7), "predictor": (0.5, None), "best": (None, None)}
    horizon = {"step": 5, "seconds": 0.5, "methods": {k: {"miou": a, "miou_moving": b} for k, (a, b) in methods.items()}}
    run = {"engine": "openvino", "segmenter_engine": "torch", "windows": 7, "against": "the source's own labels"}
    run |= {"weights_sha256": card.weights_sha256, "segmenter_sha256": card.weights_sha256}
    results = {"source": "/data/drive_7", "weights_sha256": "of the frames", "data_sha256": "ab" * 32, "protocol": {}}
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(results | {"horizons": [horizon], "structure": run}))
    code, said = vidpred("export", out, "--scores", file)
    assert code == 0, said
    assert f"| `drive_7` | +0.5 s | 7 | {row} |" in (out / "README.md").read_text()
    assert read_card(out).scores[0]["against"] == "the source's own labels"
    file.write_text(json.dumps(results | {"weights_sha256": card.weights_sha256, "horizons": [horizon]}))
    code, said = vidpred("export", out, "--scores", file)
    assert code == 2 and "other weights" in said  # those of frames are not this model's


def test_scores_go_into_the_card_and_its_authors_words_stay(vidpred, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert vidpred("export", make_checkpoint(tmp_path / "last.pt", "stochastic"), "-o", out, "--licence", "ours")[0] == 0
    readme = out / "README.md"
    readme.write_text(readme.read_text().replace("# mine\n", "# mine\n\nBefore.\n") + "\nAfter.\n")
    best = {"ssim": 0.7, "psnr": 21.04, "lpips": 0.05}
    file = metrics(tmp_path / "metrics.json", read_card(out).weights_sha256, best_of_20=best)
    code, said = vidpred("export", out, "--scores", file)
    assert code == 0, said
    text = readme.read_text()
    assert text.startswith("# mine\n\nBefore.\n") and text.endswith("\nAfter.\n") and text.count("## Scores") == 1
    assert "this model / best of 20 / copy last." in text and "Best of N is chosen with the truth" in text
    assert "| `drive_7` | +0.1 s | 12 | 0.612 / 0.700 / 0.612 | 20.5 / 21.0 / 20.5 | n/a / 0.050 / n/a |" in text
    assert read_card(out).scores[0]["ssim"] == 0.6123 and read_card(out).scores[0]["lpips"] is None
    for steps, kept in ((None, 1), (4, 0)):
        settings = {} if steps is None else {"max_steps": steps}
        again = make_checkpoint(tmp_path / "again.pt", "stochastic", **settings)
        code, said = vidpred("export", again, "-o", out, "--licence", "ours")
        assert code == 0 and len(read_card(out).scores) == kept, "of the same weights, and of other settings"

    by_hand = "# mine\n\nAll my own words.\n"
    readme.write_text(by_hand)
    code, said = vidpred("export", out, "--scores", file)
    assert code == 0 and "no marks" in said and readme.read_text() == by_hand

    before = (out / CARD).read_text()
    code, said = vidpred("export", out, "--scores", metrics(tmp_path / "other.json", "0" * 64))
    assert code == 2 and "other weights" in said and (out / CARD).read_text() == before


def test_an_onnx_file_is_written_and_checked(vidpred, tmp_path: Path) -> None:
    out, file = tmp_path / "mine", tmp_path / "car" / "mine.onnx"
    checkpoint = make_checkpoint(tmp_path / "last.pt", "multiscale")
    words = ("export", checkpoint, "--out", out, "--licence", "ours")
    code, said = vidpred(*words, "--onnx", "whole", "--steps", 2, "--to", file)
    assert code == 0, said
    assert "largest difference from torch" in said and "onnxruntime" in said
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert metadata["vidpred.steps"] == "2" and metadata["vidpred.weights_sha256"] == read_card(out).weights_sha256
    code, said = vidpred("export", out, "--onnx", "stream")
    assert code == 2 and "does not stream" in said


@pytest.mark.parametrize(
    "words,complaint",
    [
        (("nowhere.pt", "--out", "mine", "--licence", "ours"), "no checkpoint nowhere.pt"),
        (("nowhere.pt",), "needs --out models/NAME and --licence"),
        (("nowhere",), "nothing to do"),
        (("nowhere", "--onnx", "whole"), "no model 'nowhere'"),
        (("nowhere", "--licence", "ours", "--onnx", "whole"), "go with a checkpoint"),
        (("nowhere.pt", "--out", "My Model", "--licence", "ours"), "the folder's name is the model's id"),
    ],
)
def test_a_mistake_is_one_message(vidpred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words, complaint) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = vidpred("export", *words)
    assert code == 2 and said.startswith("vidpred: ") and complaint in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(vidpred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = make_checkpoint(tmp_path / "last.pt", "multiscale")
    find, hidden = importlib.util.find_spec, "torch"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == hidden else find(name))
    words = ("export", checkpoint, "--out", tmp_path / "mine", "--licence", "ours")
    code, said = vidpred(*words)
    assert code == 2 and "vidpred export needs torch: pip install torch" in said
    hidden = "training.release"
    code, said = vidpred(*words)
    assert code == 2 and "the package `training` comes with vidpred_ros" in said
    assert not (tmp_path / "mine").exists()
