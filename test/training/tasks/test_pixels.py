from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.recipe import Recipe
from training.tasks import make_task
from training.tasks.pixels import PixelsTask, trust
from vidpred_ros.motion import NextFlows
from vidpred_ros.networks.pixels import one_hot
from vidpred_ros.networks.warping import warp

CPU = torch.device("cpu")
PAST, MADE, SIZE = 2, 2, (32, 48)
ADVERSARIAL = {"weight": 0.5, "steps": 4, "lr": 1e-3, "discriminator_lr": 1e-3, "width": 0.05}
PLAIN = {"frames": MADE, "vgg": 0.0, "flow": 0.0, "warp": 0.0, "features": 0.0, "hallucinated": False}


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def task(network: dict[str, Any] = {}, **loss: Any) -> PixelsTask:  # noqa: B006 - never changed
    values: dict[str, Any] = {
        "network": {"kind": "pixels", "width": 0.04, "past": PAST, "downsamplings": 2, "blocks": 2} | network,
        "data": {"train": ["synthetic:seed=4"], "size": SIZE},
        "loss": PLAIN | loss,
        "steps": 2,
        "adversarial": ADVERSARIAL,
    }
    torch.manual_seed(0)
    made = make_task(Recipe.model_validate(values), CPU)
    assert isinstance(made, PixelsTask)
    torch.nn.init.normal_(made.generator.flow[-1].weight, std=0.002)  # type: ignore[arg-type]
    return made


def batch() -> dict[str, torch.Tensor]:
    """Smooth pictures that move by 2 pixels to the right in each frame, and label maps that go with them."""
    generator = torch.Generator().manual_seed(1)
    wide = F.interpolate(torch.rand(2, 3, 8, 14, generator=generator), (32, 56), mode="bicubic").clamp(0, 1)
    starts = [2 * (PAST + MADE - t) for t in range(PAST + MADE)]
    frames = torch.stack([wide[..., x : x + 48] for x in starts], dim=1)
    flows = torch.zeros(2, PAST + MADE, 2, *SIZE)
    flows[:, :, 0] = -2
    return {"frames": frames, "flows": flows, "labels": (frames.mean(2) * 18).to(torch.uint8)}


def numbers(made: PixelsTask, which: str, items: dict[str, torch.Tensor], adversarial: bool) -> dict[str, float]:
    """The terms of a loss as plain numbers."""
    return {name: float(value.detach()) for name, value in made.losses(which, items, rng(), adversarial).items()}


def rolled_by_hand(made: PixelsTask, items: dict[str, torch.Tensor]) -> list[Any]:
    structures, frames = one_hot(items["labels"], 19), items["frames"]
    with torch.no_grad():
        first = made.generator(frames[:, :2], structures[:, :3])
        second = made.generator(torch.stack([frames[:, 1], first.frame], dim=1), structures[:, 1:4])
    return [first, second]


def test_made_frames_are_fed_back() -> None:
    made, items = task(mae=3.0), batch()
    first, second = rolled_by_hand(made, items)
    found = numbers(made, "generator", items, False)
    wanted = ((first.frame - items["frames"][:, 2]).abs().mean() + (second.frame - items["frames"][:, 3]).abs().mean()) / 2
    assert found.keys() == {"mae"} and found["mae"] == pytest.approx(3 * float(wanted), rel=1e-4)


def flows_by_hand(frames: list[torch.Tensor], maps: torch.Tensor) -> torch.Tensor:
    """The motion prior of a batch: what ``NextFlows`` says of each clip's two frames (3, H, W) and two label maps."""
    found = []
    for b in range(2):
        before, now = (np.round(frame[b].permute(1, 2, 0).numpy() * 255).astype(np.uint8) for frame in frames)
        found.append(torch.from_numpy(NextFlows()((before, now), (maps[b, 0].numpy(), maps[b, 1].numpy()))))
    return torch.stack(found).permute(0, 1, 4, 2, 3)


def test_a_motion_prior_is_of_the_made_frames_and_their_label_maps() -> None:
    made, items = task(network={"motion_prior": "dis"}, mae=1.0), batch()
    frames, labels, structures = items["frames"], items["labels"], one_hot(items["labels"], 19)
    with torch.no_grad():
        prior = flows_by_hand([frames[:, 0], frames[:, 1]], labels[:, 1:3])
        first = made.generator(frames[:, :2], structures[:, :3], prior)
        prior = flows_by_hand([frames[:, 1], first.frame], labels[:, 2:4])
        second = made.generator(torch.stack([frames[:, 1], first.frame], dim=1), structures[:, 1:4], prior)
    items["flows"] += 3  # the true flow is for the losses alone
    wanted = ((first.frame - frames[:, 2]).abs().mean() + (second.frame - frames[:, 3]).abs().mean()) / 2
    assert numbers(made, "generator", items, False)["mae"] == pytest.approx(float(wanted), rel=1e-4)


def test_the_hallucinated_frame_may_count_too() -> None:
    made, items = task(mae=1.0, hallucinated=True), batch()
    steps = rolled_by_hand(made, items)
    wanted = sum(float((p - items["frames"][:, 2 + k]).abs().mean()) for k, s in enumerate(steps) for p in (s.frame, s.hallucinated))
    assert numbers(made, "generator", items, False)["mae"] == pytest.approx(wanted / 2, rel=1e-4)


def test_flow_and_warp_terms() -> None:
    made, items = task(flow=2.0, warp=3.0), batch()
    frames, flows = items["frames"], items["flows"]
    steps = rolled_by_hand(made, items)
    flow_term = warp_term = 0.0
    before = frames[:, 1]
    for k, step in enumerate(steps):
        now, past, reference = frames[:, 2 + k], frames[:, 1 + k], flows[:, 2 + k]
        colours = 2 * now - 1 - (2 * warp(past, reference, "bilinear") - 1)
        sure = (colours.pow(2).sum(1, keepdim=True) < 0.02).float()
        assert 0.9 < sure.mean() < 1  # all but the column that comes into view
        flow_term += float((sure * (step.flow - reference)).abs().mean()) / 2
        moved = 2 * warp(past, step.flow, "bilinear") - 2 * now
        followed = 2 * step.frame - 2 * warp(before, reference, "bilinear")
        warp_term += float((sure * moved).abs().mean() + (sure * followed).abs().mean()) / 2
        before = step.frame
    found = numbers(made, "generator", items, False)
    assert found["flow"] == pytest.approx(2 * flow_term, rel=1e-3)
    assert found["warp"] == pytest.approx(3 * warp_term, rel=1e-3)


def test_a_flow_is_trusted_where_it_explains_the_frame() -> None:
    items = batch()
    frames, flows = items["frames"], items["flows"]
    right = trust(frames[:, 2], frames[:, 1], flows[:, 2])
    wrong = trust(frames[:, 2], frames[:, 1], flows[:, 2] + 6)
    assert right[..., 2:].min() == 1 and wrong.mean() < 0.5


@pytest.mark.parametrize("gan", ["log", "squares"])
def test_equations_4_and_5(gan: str) -> None:
    """D_I on one frame and D_V on three frames and two flows, which the seed draws; both scales."""
    made, items = task(gan=gan, features=4.0), batch()
    judges, steps, frames = made.networks["discriminator"], rolled_by_hand(made, items), items["frames"]
    draws = rng()
    k, last = int(draws.integers(MADE)), int(draws.integers(2, 4))
    video = torch.stack([frames[:, 0], frames[:, 1], *(s.frame for s in steps)], dim=1)
    structure, flows = one_hot(items["labels"], 19)[:, 2 + k], items["flows"][:, last - 1 : last + 1]
    with torch.no_grad():
        pairs = [
            (judges.judge_frame(frames[:, 2 + k], structure), judges.judge_frame(steps[k].frame, structure)),
            (judges.judge_video(frames[:, last - 2 : last + 1], flows), judges.judge_video(video[:, last - 2 : last + 1], flows)),
        ]
    told = fooled = matched = 0.0
    for real, fake in pairs:
        for a, b in zip(real, fake, strict=True):
            x, y = a[-1].double().numpy(), b[-1].double().numpy()
            if gan == "log":
                told += float(np.log1p(np.exp(-x)).mean() + np.log1p(np.exp(y)).mean())
                fooled += float(np.log1p(np.exp(-y)).mean())
            else:
                told += float(((x - 1) ** 2).mean() + (y**2).mean())
                fooled += float(((y - 1) ** 2).mean())
            matched += sum(float((m - n).abs().mean()) for m, n in zip(a[:-1], b[:-1], strict=True)) / 2
    assert numbers(made, "discriminator", items, True)["discriminator"] == pytest.approx(told, rel=1e-3)
    found = numbers(made, "generator", items, True)
    assert found["adversarial"] == pytest.approx(0.5 * fooled, rel=1e-3)
    assert found["features"] == pytest.approx(4 * matched, rel=1e-3)


def test_boundaries_go_in_where_the_network_takes_them() -> None:
    made, items = task(network={"edges": True}, mae=1.0), batch()
    plain = made.structures(items)
    assert plain.shape == (2, 4, 20, *SIZE) and plain[:, :, :19].equal(one_hot(items["labels"], 19))
    items["instances"] = torch.zeros_like(items["labels"])
    items["instances"][..., 10:20, 10:20] = 7
    more = made.structures(items)[:, :, 19] - plain[:, :, 19]
    assert more.min() == 0 and more.sum() > 0
    assert not more[..., :9, :].any() and not more[..., 21:, :].any()


def test_gradients_reach_every_parameter() -> None:
    made, items = task(mae=1.0, flow=1.0, warp=1.0, hallucinated=True), batch()
    for which, network in made.networks.items():
        torch.stack(list(made.losses(which, items, rng(), True).values())).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        made.networks["generator"].zero_grad()


def test_a_tiny_clip_is_learnt() -> None:
    made, items = task(mae=10.0, flow=0.1), batch()
    optimizer = torch.optim.Adam(made.generator.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(torch.stack(list(made.losses("generator", items, rng(), False).values())).sum())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_the_video_discriminator_needs_three_frames() -> None:
    with pytest.raises(ValueError, match="the video discriminator sees 3 frames"):
        task(network={"past": 1}, frames=1)
