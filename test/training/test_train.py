from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from training import checkpoint
from training.datasets.frames import Sequence
from training.recipe import Recipe
from training.release import release
from training.train import Trainer, load_data, run
from training.validate import short_name
from vidpred_ros.errors import ConfigError, ModelError, SourceError
from vidpred_ros.models import ReleasedModel

ROOT = Path(__file__).parents[2]


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "network": {"width": 0.1, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 3},
        "data": {
            "train": ["synthetic:seed=4,seconds=3,rate=10,width=64,height=48"],
            "validate_on": ["synthetic:seed=5,seconds=2,rate=10,width=64,height=48"],
            "size": [32, 48],
            "workers": 0,
        },
        "loss": {"vgg": 0},
        "steps": 4,
        "batch": 2,
        "futures_per_step": 2,
        "ema": 0.5,
        "save_every": 2,
        "validate_every": 4,
        "precision": "fp32",
    }
    return Recipe.model_validate(values | changes)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(a[k], b[k], rtol=1e-4, atol=1e-6) for k in a)


def test_a_run_learns_and_can_be_released(tmp_path: Path) -> None:
    network = recipe().network.model_dump() | {"dropout": 0}  # its noise would hide what 30 steps teach
    short = recipe(
        network=network, steps=30, lr=1e-3, betas=[0.9, 0.99], validate_every=30, seed=1,
        loss={"vgg": 4, "vgg_crop": [16, 16]}, precision="bf16",
    )
    last = run(short, tmp_path / "run")
    trainer = Trainer(short, tmp_path / "fresh")
    clips, _ = load_data(short)
    batch = {key: torch.stack([clips[i][key] for i in range(6)]) for key in clips[0]}

    def loss(weights: dict[str, torch.Tensor] | None) -> float:
        if weights:
            trainer.network.load_state_dict(weights)
        with torch.no_grad():
            predicted = trainer.network.train()(batch["frames"][:, :8], batch["flows"], [1, 2, 3])
        return float((predicted - batch["frames"][:, 8:]).abs().mean())

    before = loss(None)
    state = checkpoint.load(last)
    assert loss(state["network"]) < before
    record = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert record["step"] == 30 and 0 < record["synthetic:seed=5,seconds=2,rate=10,width=64,height=48 ssim@1"] <= 1
    release(last, tmp_path / "models" / "tiny", "ours")
    model = ReleasedModel(tmp_path / "models" / "tiny")
    assert model.card.size == (32, 48) and model.card.training.steps == 30 and model.verified_weights.is_file()


def test_a_killed_run_resumed_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = checkpoint.load(run(recipe(), tmp_path / "whole"))
    run(recipe(steps=2), tmp_path / "parts")  # "killed" after the checkpoint of step 2
    resumed = checkpoint.load(run(recipe(), tmp_path / "parts"))
    assert whole["step"] == resumed["step"] == 4
    assert same(whole["network"], resumed["network"]) and same(whole["released"], resumed["released"])


def test_an_average_may_join_a_run_that_had_none(tmp_path: Path) -> None:
    run(recipe(steps=1, ema=0), tmp_path)
    state = checkpoint.load(run(recipe(steps=2, ema=0.5), tmp_path))
    assert same(state["released"], state["network"])  # its first value is the weights that it met


def test_validation_says_which_sequence_is_too_short_before_it_trains() -> None:
    data = recipe().data.model_dump() | {"validate_on": ["synthetic:seed=5,seconds=1,rate=10,width=64,height=48"]}
    with pytest.raises(SourceError, match=r"seed=5.*10 frames at a stride of 1, but validation needs 11"):
        load_data(recipe(data=data))


def test_validation_tells_the_cameras_of_kitti_apart() -> None:
    names = [f"/raw/2011_09_26/2011_09_26_drive_0005_sync/{camera}/data" for camera in ("image_02", "image_03")]
    short = [short_name(Sequence(name, 10, np.zeros(0, np.uint8))) for name in [*names, "/data/town/"]]
    assert short == ["2011_09_26_drive_0005_sync/image_02", "2011_09_26_drive_0005_sync/image_03", "town"]


def test_a_release_needs_a_name_that_models_can_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="My Model: the folder's name is the model's id"):
        release(tmp_path / "last.pt", tmp_path / "My Model", "ours")


def test_resuming_another_network_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    last = run(recipe(steps=1), tmp_path)
    other = recipe(network={"width": 0.2, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 3})
    with pytest.raises(ModelError, match=r"width: 0\.1 -> 0\.2"):
        run(other, tmp_path)
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        run(recipe(), tmp_path)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_term(tmp_path: Path) -> None:
    trainer = Trainer(recipe(), tmp_path)
    clips, _ = load_data(recipe())
    batch = {key: torch.stack([clips[0][key], clips[1][key]]) for key in clips[0]}
    batch["frames"][0, 8:] = float("nan")
    weights = {k: v.clone() for k, v in trainer.network.named_parameters()}
    with pytest.raises(ModelError, match=r"step 0: the loss is not finite \(mae nan\); last good: .*last\.pt"):
        trainer.learn(batch)
    assert same(weights, dict(trainer.network.named_parameters()))


def test_two_processes_share_a_step(tmp_path: Path) -> None:
    """Under torchrun both processes end with the same weights, and each took its own half of the windows."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(steps=2).model_dump(mode="json")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "import sys, torch; from pathlib import Path; from training.recipe import load_recipe; from training import train\n"
        "t = train.Trainer(load_recipe(sys.argv[1]), Path(sys.argv[2])); clips, _ = train.load_data(t.recipe)\n"
        "for batch in t.batches(clips): t.learn(batch)\n"
        "torch.save({'w': t.network.state_dict(), 'seen': batch['frames']}, Path(sys.argv[2]) / f'{t.rank}.pt')\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(tmp_path)],
            cwd=ROOT,
            env=os.environ
            | {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            | {"OMP_NUM_THREADS": "1", "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    parameters = [k for k in a["w"] if "running" not in k and "num_batches" not in k]
    assert all(torch.equal(a["w"][k], b["w"][k]) for k in parameters)
    assert not torch.equal(a["seen"], b["seen"])


def test_the_command_explains_itself_and_its_errors(tmp_path: Path) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "training.train", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    help_text = call("--help")
    assert help_text.returncode == 0 and "resumes" in help_text.stdout
    wrong = call("no_such_recipe")
    assert wrong.returncode == 2 and "hrp_tree_w25" in wrong.stderr and "Traceback" not in wrong.stderr
