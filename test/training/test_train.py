"""The trainer as a whole; phases, losses and networks have tests of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from helpers.disk import no_room
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from training import checkpoint
from training.datasets.frames import Sequence
from training.recipe import Recipe
from training.train import Log, batches, load_data, main, run
from training.trainer import Trainer
from training.validate import WINDOWS, check_long_enough, scored_windows, short_names
from vidpred_ros.errors import ModelError, SourceError

ROOT = Path(__file__).parents[2]
HELD_OUT = "synthetic:seed=5,seconds=2,rate=10,width=64,height=48"


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "network": {"width": 0.1, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 3},
        "data": {
            "train": ["synthetic:seed=4,seconds=3,rate=10,width=64,height=48"],
            "validate_on": [HELD_OUT],
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


#: A network without batch norm, so that a batch's windows do not see each other.
PLAIN = {
    "network": {"kind": "multiscale", "width": 0.05, "max_steps": 1},
    "loss": {"lp": 1.0, "p": 1},
    "futures_per_step": 1,
    "optimizer": "sgd",
    "lr": 0.1,
    "ema": 0,
}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def learn_all(trainer: Trainer) -> dict[str, torch.Tensor]:
    clips, _ = load_data(trainer.recipe)
    for batch in batches(clips, trainer):
        trainer.learn(batch)
    return trainer.networks["generator"].state_dict()


def test_a_run_learns(tmp_path: Path) -> None:
    network = recipe().network.model_dump() | {"dropout": 0}  # its noise would hide what 30 steps teach
    short = recipe(
        network=network, steps=30, lr=1e-3, betas=[0.9, 0.99], validate_every=30, seed=1,
        loss={"vgg": 4, "vgg_crop": [16, 16]}, precision="bf16",
    )
    last = run(short, tmp_path / "run", "short")
    generator = Trainer(short, tmp_path / "fresh").networks["generator"]
    clips, _ = load_data(short)
    batch = {key: torch.stack([clips[i][key] for i in range(6)]) for key in clips[0]}

    def loss() -> float:
        with torch.no_grad():
            predicted = generator.train()(batch["frames"][:, :8], batch["flows"], [1, 2, 3])
        return float((predicted - batch["frames"][:, 8:]).abs().mean())

    before, state = loss(), checkpoint.load(last)
    generator.load_state_dict(state["networks"]["generator"])
    assert loss() < before
    assert state["name"] == "short" and state["step"] == 30


def test_a_run_leaves_its_scores_curves_strips_and_best_checkpoint(tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    record = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert record["step"] == 4 and 0 < record[f"{HELD_OUT} ssim@1"] <= 1
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/mae")] == [1, 2, 3, 4]
    assert events.Scalars(f"lpips@1/{HELD_OUT}")[0].value == pytest.approx(record[f"{HELD_OUT} lpips@1"], rel=1e-5)
    strip = events.Images(HELD_OUT)[0]
    assert (strip.height, strip.width) == (2 * 32, 3 * 48)  # true above predicted: now, step 1, step 3
    best = checkpoint.load(tmp_path / "best.pt")
    assert best["best"] == pytest.approx(record[f"{HELD_OUT} lpips@1"])


def test_the_best_checkpoint_is_the_one_with_the_least_lpips(tmp_path: Path) -> None:
    run(recipe(validate_every=1, lr=0.03, ema=0, steps=5), tmp_path)  # a rate that ruins it soon
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    lpips = [line[f"{HELD_OUT} lpips@1"] for line in lines]
    best = checkpoint.load(tmp_path / "best.pt")
    assert best["best"] == min(lpips) < lpips[-1]
    assert best["step"] == 1 + lpips.index(min(lpips))


def test_a_killed_run_resumed_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """To the weight: killed with SIGKILL somewhere after a checkpoint, and started again."""
    path, same_recipe = tmp_path / "recipe.yaml", recipe(steps=12, precision="bf16", save_every=3)
    path.write_text(yaml.safe_dump(same_recipe.model_dump(mode="json")))
    command = [sys.executable, "-m", "training.train", str(path), "--out", str(tmp_path / "parts")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "parts" / "last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = checkpoint.load(tmp_path / "parts" / "last.pt")["step"]
    assert killed_at < 12
    resumed, whole = (checkpoint.load(run(same_recipe, tmp_path / folder)) for folder in ("parts", "whole"))
    assert whole["step"] == resumed["step"] == 12
    assert same(whole["networks"]["generator"], resumed["networks"]["generator"])
    assert same(whole["released"], resumed["released"])


def test_an_average_may_join_a_run_that_had_none(tmp_path: Path) -> None:
    run(recipe(steps=1, ema=0), tmp_path)
    state = checkpoint.load(run(recipe(steps=2, ema=0.5), tmp_path))
    assert same(state["released"], state["networks"]["generator"])  # its first value is the weights that it met


def test_a_resumed_run_uses_the_recipe_as_it_is_now_and_says_what_changed(tmp_path: Path) -> None:
    run(recipe(steps=1), tmp_path)
    trainer = Trainer(recipe(steps=2, betas=[0.5, 0.9]), tmp_path)
    assert trainer.resume() == ["betas: [0.0, 0.9] -> [0.5, 0.9]", "steps: 1 -> 2"]
    assert trainer.optimizers["generator"].param_groups[0]["betas"] == (0.5, 0.9)


def test_a_run_of_before_a_setting_was_there_goes_on_with_its_default(tmp_path: Path) -> None:
    path = run(recipe(steps=1), tmp_path)
    state = checkpoint.load(path)
    del state["recipe"]["network"]["steady"]
    checkpoint.save(path, state)
    assert Trainer(recipe(steps=2), tmp_path).resume() == ["steps: 1 -> 2"]


def test_a_batch_in_parts_gives_the_same_weights(tmp_path: Path) -> None:
    whole = learn_all(Trainer(recipe(**PLAIN, batch=4, steps=2), tmp_path))
    parts = learn_all(Trainer(recipe(**PLAIN, batch=4, steps=2, accumulate=4), tmp_path))
    assert all(torch.allclose(whole[k], parts[k], atol=1e-6) for k in whole)
    with pytest.raises(ValueError, match="accumulate: 3 does not divide batch"):
        recipe(batch=4, accumulate=3)


def test_half_precision_with_scaled_gradients_learns_about_the_same(tmp_path: Path) -> None:
    full = learn_all(Trainer(recipe(**PLAIN), tmp_path))
    trainer = Trainer(recipe(**PLAIN, precision="fp16"), tmp_path)
    half = learn_all(trainer)
    assert trainer.scaler.is_enabled() and trainer.scaler.get_scale() > 1
    start = Trainer(recipe(**PLAIN), tmp_path).networks["generator"].state_dict()
    moved = torch.cat([(full[k] - start[k]).flatten() for k in full])
    apart = torch.cat([(full[k] - half[k]).flatten() for k in full])
    assert 0 < apart.norm() < 0.05 * moved.norm()


@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_a_run_may_start_with_other_weights(tmp_path: Path, tiny_model: Path, kind: str) -> None:
    settings: dict[str, Any] = {
        "width": 0.1, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 5
    }
    if kind == "checkpoint":
        init = run(recipe(network=settings, steps=1), tmp_path / "first")
        wanted = checkpoint.load(init)["released"]
    else:
        from safetensors.torch import load_file

        settings |= {"sway": True, "steady": True}  # as the tiny model has it
        init, wanted = tiny_model, load_file(tiny_model / "weights.safetensors")
    trainer = Trainer(recipe(network=settings, init=str(init)), tmp_path / "second")
    got = trainer.networks["generator"].state_dict()
    assert all(torch.equal(got[k], wanted[k].to(got[k].dtype)) for k in wanted)
    assert all(torch.equal(v, got[k]) for k, v in trainer.released.state_dict().items())
    with pytest.raises(ModelError, match="is another network than the recipe's: .* do not fit"):
        Trainer(recipe(network=settings | {"width": 0.2}, init=str(init)), tmp_path)


def test_validation_says_which_sequence_is_too_short_before_it_trains() -> None:
    data = recipe().data.model_dump() | {"validate_on": ["synthetic:seed=5,seconds=1,rate=10,width=64,height=48"]}
    with pytest.raises(SourceError, match=r"seed=5.*10 frames at a stride of 1, but validation needs 11"):
        load_data(recipe(data=data))


def test_validation_does_not_look_over_a_gap_in_time() -> None:
    """Frames whose level tells their number: a window's are consecutive, and lie between two gaps."""
    levels = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 32, 48, 3))
    sequence = Sequence("bag", 10, levels, breaks=(5, 18))
    firsts = []
    for window in scored_windows(sequence, 1, 11):
        numbers = window[:, 0, 0, 0].tolist()
        assert numbers == list(range(numbers[0], numbers[0] + 11))
        firsts.append(numbers[0])
    assert set(firsts) <= {5, 6, 7, *range(18, 30)} and {5, 29} <= set(firsts) and len(firsts) == WINDOWS
    with pytest.raises(SourceError, match="bag: 7 frames at a stride of 2 without a gap in time"):
        check_long_enough([replace(sequence, rate_hz=20, breaks=(13, 26))], recipe())


def test_validation_tells_sequences_apart() -> None:
    drive = "2011_09_26_drive_0005_sync"
    expected = {
        f"/raw/2011_09_26/{drive}/image_02/data": f"{drive}/image_02",
        f"/raw/2011_09_26/{drive}/image_03/data": f"{drive}/image_03",
        "/data/town/": "town",
        "/data/set06/V000.seq": "set06/V000.seq",
        "/data/set07/V000.seq": "set07/V000.seq",
        "drive.mcap?topic=/front/image": "drive.mcap?topic=/front/image",
        HELD_OUT: HELD_OUT,
    }
    assert short_names([Sequence(name, 10, np.zeros(0, np.uint8)) for name in expected]) == list(expected.values())


def test_resuming_another_network_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    last = run(recipe(steps=1), tmp_path)
    other = recipe(network={"width": 0.2, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 3})
    with pytest.raises(ModelError, match=r"width: 0\.1 -> 0\.2"):
        run(other, tmp_path)
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        run(recipe(), tmp_path)
    torch.save({"step": 3, "network": {}}, last)
    with pytest.raises(ModelError, match="no checkpoint of this version of the trainer: it lacks best, networks"):
        run(recipe(), tmp_path)


def test_a_loss_that_is_not_finite_stops_with_the_step_the_term_and_the_last_checkpoint(tmp_path: Path) -> None:
    trainer = Trainer(recipe(), tmp_path)
    clips, _ = load_data(recipe())
    batch = {key: torch.stack([clips[0][key], clips[1][key]]) for key in clips[0]}
    batch["frames"][0, 8:] = float("nan")
    weights = {k: v.clone() for k, v in trainer.networks["generator"].named_parameters()}
    with pytest.raises(ModelError, match=r"step 0: the loss is not finite \(mae nan\); no checkpoint was written yet"):
        trainer.learn(batch)
    assert same(weights, dict(trainer.networks["generator"].named_parameters()))
    trainer.save()
    with pytest.raises(ModelError, match=r"last good checkpoint: .*last\.pt"):
        trainer.learn(batch)


def test_a_gradient_that_is_not_finite_spoils_no_weight(tmp_path: Path) -> None:
    """As bf16 kernels can make one of a loss that is finite: the next checkpoint would hold the spoilt weights."""
    trainer = Trainer(recipe(), tmp_path)
    generator = trainer.networks["generator"]
    next(generator.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    weights = {k: v.clone() for k, v in generator.named_parameters()}
    with pytest.raises(ModelError, match=r"step 0: the gradient of the generator is not finite \(mae [0-9.]+\); no checkpoint"):
        trainer.learn(next(batches(load_data(recipe())[0], trainer)))
    assert same(weights, dict(generator.named_parameters()))


def test_gradients_that_no_scale_makes_finite_stop_a_run_in_half_precision(tmp_path: Path) -> None:
    trainer = Trainer(recipe(**PLAIN, precision="fp16"), tmp_path)
    generator = trainer.networks["generator"]
    next(generator.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    weights = {k: v.clone() for k, v in generator.named_parameters()}
    batch = next(batches(load_data(recipe(**PLAIN))[0], trainer))
    with pytest.raises(ModelError, match="the gradient of the generator, however it is scaled, is not finite"):
        for _ in range(30):
            trainer.learn(batch)
    assert same(weights, dict(generator.named_parameters()))


def test_what_was_logged_after_the_checkpoint_is_not_logged_twice(tmp_path: Path) -> None:
    def log(step: int, steps: range) -> list[dict[str, Any]]:
        records = Log(tmp_path, step)
        for now in steps:
            records.update(now, {"mae": now}, 0.1, "generator")
            records.validation(now, {}, {})
        records.close()
        return [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    first = log(0, range(1, 5))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "sec')  # killed here
    second = log(2, range(3, 6))
    assert [record["step"] for record in second] == [1, 2, 3, 4, 5]
    assert second[:2] == first[:2] and second[2]["seconds"] >= first[1]["seconds"]
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/mae")] == [1, 2, 3, 4, 5]


def test_the_checkpoint_that_is_offered_for_release_is_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe(steps=1).model_dump(mode="json")))
    main(str(path), None, tmp_path / "run")
    assert f"vidpred export {tmp_path}/run/best.pt" in capsys.readouterr().err
    path.write_text(yaml.safe_dump(recipe(steps=1, data=recipe().data.model_dump() | {"validate_on": []}).model_dump(mode="json")))
    main(str(path), None, tmp_path / "other")
    assert f"vidpred export {tmp_path}/other/last.pt" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    trainer = Trainer(recipe(**PLAIN), tmp_path)
    before = trainer.save().read_bytes()
    with no_room(), pytest.raises(ModelError, match=r"last\.pt cannot be written.*: is its disk full\?"):
        trainer.save()
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"] and (tmp_path / "last.pt").read_bytes() == before


def test_two_processes_do_what_one_does_with_all_their_windows(tmp_path: Path) -> None:
    """Gradients of two gloo processes agree with those of one process: the same weights after SGD steps."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(**PLAIN, steps=2, batch=2).model_dump(mode="json")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "import sys, torch; from pathlib import Path; from training.recipe import load_recipe\n"
        "from training import train; from training.trainer import Trainer\n"
        "t = Trainer(load_recipe(sys.argv[1]), Path(sys.argv[2])); clips, _ = train.load_data(t.recipe)\n"
        "for batch in train.batches(clips, t): t.learn(batch)\n"
        "torch.save({'w': t.networks['generator'].state_dict(), 'seen': batch['frames']}, Path(sys.argv[2]) / f'{t.rank}.pt')\n"
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
    assert same(a["w"], b["w"]) and not torch.equal(a["seen"], b["seen"])
    alone = learn_all(Trainer(recipe(**PLAIN, steps=2, batch=4), tmp_path))
    assert all(torch.allclose(alone[k], a["w"][k], atol=1e-6) for k in alone)


def test_the_command_explains_itself_and_its_errors() -> None:
    app = typer.Typer()
    app.command()(main)
    help_text = CliRunner().invoke(app, ["--help"])
    assert help_text.exit_code == 0 and "resumes" in help_text.stdout
    wrong = CliRunner().invoke(app, ["no_such_recipe"])
    assert wrong.exit_code == 2 and "hrp_tree_w25" in wrong.stderr
