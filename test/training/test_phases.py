"""Runs of several phases: which checkpoint is the best, what a resumed run goes on with, what the log shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training import checkpoint, train
from training.recipe import Recipe, load_recipe
from training.trainer import Trainer
from vidpred_ros.errors import ModelError

DRIVE = "synthetic:seed=4,seconds=3,rate=10,width=64,height=48"


def shouno(**changes: Any) -> Recipe:
    """The recipe of Shouno's GAN-VGG, small: two updates of the generator, two of the discriminator, six of both."""
    values = load_recipe("shouno_gan_vgg").model_dump()
    values["network"] |= {"width": 0.05}
    values["data"] |= {"train": [DRIVE], "validate_on": [], "size": [48, 48], "workers": 0}
    values["adversarial"] |= {"warmup_steps": 2, "steps": 6, "updates": 2, "width": 0.03}
    values["loss"] |= {"vgg": 0}
    return Recipe.model_validate(values | {"steps": 2, "batch": 2, "ema": 0.5} | changes)


def test_a_run_stopped_in_each_phase_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """To the weight, of both networks: what spectral norm and Adam keep of each goes on too."""
    whole = checkpoint.load(train.run(shouno(), tmp_path / "whole"))
    clips, _ = train.load_data(shouno())
    (tmp_path / "parts").mkdir()
    for stop, phase in ((1, "generator"), (3, "discriminator"), (8, "adversarial")):
        trainer = Trainer(shouno(), tmp_path / "parts")
        trainer.resume()
        coming = train.batches(clips, trainer)
        while trainer.step < stop:
            trainer.learn(next(coming))
        assert trainer.phase()[0] == phase
        trainer.save()
    parts = checkpoint.load(train.run(shouno(), tmp_path / "parts"))
    assert parts["step"] == whole["step"] == 10
    for name, weights in whole["networks"].items():
        assert all(torch.equal(weights[k], parts["networks"][name][k]) for k in weights), name
    assert all(torch.equal(value, parts["released"][k]) for k, value in whole["released"].items())


def test_the_best_checkpoint_of_an_adversarial_run_has_learnt_from_the_adversary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the weights before had less LPIPS."""
    lpips = iter((0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.5, 0.4, 0.4, 0.6))  # after each update; the seventh is the generator's first
    monkeypatch.setattr(train, "score", lambda *_: ({"drive lpips@1": next(lpips)}, {}))
    train.run(shouno(validate_every=1), tmp_path)
    best = checkpoint.load(tmp_path / "best.pt")
    assert (best["step"], best["best"]) == (8, 0.4)
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("logits/fake")] == [3, 4, 5, 6, 8, 9]  # the discriminator's updates
    record = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert record["logits/real"] != record["logits/fake"]


def test_a_score_of_an_earlier_phase_is_forgotten(tmp_path: Path) -> None:
    trainer = Trainer(shouno(), tmp_path)
    trainer.best, trainer.step = 0.1, 6  # the generator has not learnt from the adversary yet
    trainer.save()
    again = Trainer(shouno(), tmp_path)
    again.resume()
    assert again.best is None
    trainer.step = 7
    trainer.save()
    again.resume()
    assert again.best == 0.1


def test_a_run_goes_on_without_what_it_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init = train.run(shouno(steps=1, adversarial=None), tmp_path / "first")
    recipe = shouno(steps=0, init=str(init))
    (tmp_path / "second").mkdir()
    Trainer(recipe, tmp_path / "second").save()
    init.unlink()
    Trainer(recipe, tmp_path / "second").resume()
    with pytest.raises(ModelError, match=r"init: no checkpoint .*first/last\.pt$"):
        Trainer(recipe, tmp_path / "third")
    decoded: list[str] = []
    monkeypatch.setattr(train, "load_data", decoded.append)
    recipe = shouno(steps=0, init=str(tmp_path / "drive_g_vgg" / "last.pt"))
    with pytest.raises(ModelError, match=r"last\.pt; train drive_g_vgg first: python -m training\.train drive_g_vgg"):
        train.run(recipe, tmp_path / "third")
    assert not decoded
