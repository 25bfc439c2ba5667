from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from training.scores import add_scores
from vidpred_ros.errors import ModelError
from vidpred_ros.models import read_card


def metrics(sha: str) -> dict[str, object]:
    values = {"ssim": 0.61234, "psnr": 20.5, "lpips": 0.07}
    methods = {name: values for name in ("predictor", "copy_last", "optical_flow")}
    return {
        "source": "/data/drive_7",
        "engine": "openvino bf16",
        "weights_sha256": sha,
        "data_sha256": "ab" * 32,
        "protocol": {"windows": 12},
        "horizons": [{"step": 1, "seconds": 0.1, "methods": methods}],
    }


def test_scores_come_from_the_same_weights_only(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "tiny"))
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(metrics(read_card(folder).weights_sha256)))
    bad.write_text(json.dumps(metrics("0" * 64)))
    assert add_scores(folder, [good]) == 1
    score = read_card(folder).scores[0]
    assert score["source"] == "drive_7" and score["ssim"] == 0.6123 and score["copy_last"] == "0.6123 / 20.5 / 0.07"
    with pytest.raises(ModelError, match="other weights"):
        add_scores(folder, [bad])
