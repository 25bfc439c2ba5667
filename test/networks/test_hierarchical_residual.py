from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.models import SIZE, random_network
from pydantic import ValidationError
from torch.nn import functional as F

from vidpred_ros.networks.config import WINDOW, HierarchicalConfig
from vidpred_ros.networks.heads import FLOW_UNIT, PERSISTENCE, jolt
from vidpred_ros.networks.hierarchical_residual import HierarchicalResidual, PaddedInTime

TREE = {"form": "tree", "width": 0.1, "head": "warp", "motion_prior": "dis", "rollout": "direct", "max_steps": 5}


def clip(length: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth pictures, as a camera's are, and smooth flows of a few pixels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(length, 5, SIZE[0] // 8, SIZE[1] // 8, generator=generator)
    smooth = F.interpolate(coarse, SIZE, mode="bilinear")[None]
    return smooth[:, :, :3], 8 * (smooth[:, :, 3:] - 0.5)


@pytest.mark.parametrize(
    ("head", "prior", "more"),
    [
        ("warp", "dis", {}),
        ("warp", "dis", {"sway": True}),
        ("warp", "dis", {"sway": True, "steady": True}),
        ("warp", "none", {}),
        ("pixels", "dis", {}),
        ("pixels", "none", {}),
    ],
)
@torch.no_grad()
def test_streaming_equals_whole_window(head: str, prior: str, more: dict[str, bool]) -> None:
    network = random_network(HierarchicalConfig(**TREE | {"head": head, "motion_prior": prior} | more))
    frames, flows = clip(20)
    given = prior == "dis"
    history: list[dict[str, torch.Tensor]] = []
    for t in range(20):
        past = {
            name: history[t - delay][name] if t >= delay else torch.zeros(1, *network.state_shapes(SIZE)[name])
            for name, delay in network.state_delays().items()
        }
        pair, several = ([max(0, t - age) for age in reversed(range(n))] for n in (2, network.config.flows_decoded))
        streamed, kept = network.step(frames[:, pair], flows[:, several] if given else None, past, [1, 2, 5])
        history.append(kept)
        if t >= WINDOW - 1:
            window = slice(t - WINDOW + 1, t + 1)
            whole = network(frames[:, window], flows[:, window] if given else None, [1, 2, 5])
            assert (streamed - whole).abs().max() <= 1e-5
            assert whole.std() > 0.01  # a constant would equal itself


@pytest.mark.parametrize("form", ["paper", "tree"])
@pytest.mark.parametrize("head", ["warp", "pixels"])
@pytest.mark.parametrize("rollout", ["recursive", "direct"])
def test_every_form_predicts_k_frames_and_learns(form: str, head: str, rollout: str) -> None:
    config = HierarchicalConfig(form=form, head=head, rollout=rollout, width=0.1, max_steps=5)
    network = HierarchicalResidual(config).train()
    frames, _ = clip(WINDOW)
    futures = network(frames.expand(2, -1, -1, -1, -1), None, [1, 2, 3])
    assert futures.shape == (2, 3, 3, *SIZE)
    # a step of gradient descent in small lowers the loss: everything is connected
    before = (futures - 0.3).abs().mean()
    before.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 1e-3 * parameter.grad
        assert (network(frames.expand(2, -1, -1, -1, -1), None, [1, 2, 3]) - 0.3).abs().mean() < before


@pytest.mark.parametrize(("form", "width", "millions"), [("paper", 1.0, 85.6), ("tree", 1.0, 49.0), ("tree", 0.25, 3.1)])
def test_parameter_counts(form: str, width: float, millions: float) -> None:
    with torch.device("meta"):
        network = HierarchicalResidual(
            HierarchicalConfig(form=form, width=width, head="warp", motion_prior="dis", rollout="direct")
        )
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@torch.no_grad()
def test_recursion_feeds_predictions_back() -> None:
    network = random_network(HierarchicalConfig(form="paper", width=0.1, head="pixels", rollout="recursive"))
    frames, _ = clip(WINDOW)
    futures = network(frames, None, [1, 2, 3])
    window = frames
    for k in range(3):  # by hand: one step at a time, each frame appended to the window
        predicted = network(window, None, [1])
        assert torch.allclose(futures[:, k], predicted[:, 0], atol=1e-6)
        window = torch.cat([window[:, 1:], predicted], dim=1)


@torch.no_grad()
def test_the_tree_form_sees_all_frames_and_the_paper_form_too() -> None:
    for form in ("tree", "paper"):
        network = random_network(HierarchicalConfig(form=form, width=0.1, head="pixels"))
        frames, _ = clip(WINDOW)
        base = network(frames, None, [1])
        for t in range(WINDOW):
            changed = frames.clone()
            changed[:, t] = 1 - changed[:, t]
            assert (network(changed, None, [1]) - base).abs().max() > 1e-6, f"{form}: frame {t} has no effect"


def test_an_untrained_warp_head_returns_the_prior() -> None:
    network = HierarchicalResidual(HierarchicalConfig(**TREE)).eval()
    frames, _ = clip(WINDOW)
    frames = F.interpolate(frames[0], scale_factor=1 / 4, mode="area")  # smooth frames
    frames = F.interpolate(frames, SIZE, mode="bicubic", align_corners=True).clamp(0, 1)[None]
    flows = torch.zeros(1, WINDOW, 2, *SIZE)
    flows[:, :, 0] = -2.0  # everything moves two pixels to the right in each frame
    with torch.no_grad():
        futures = network(frames, flows, [1, 3])
    for k, future in zip([1, 3], futures[0], strict=True):
        assert torch.allclose(future[..., 2 * k :], frames[0, -1, :, :, : -2 * k], atol=2e-5)


@pytest.mark.parametrize(("speed", "still"), [(0.0, True), (0.1, True), (2.0, False)])
@torch.no_grad()
def test_a_scene_that_stands_still_is_foretold_as_it_is(speed: float, still: bool) -> None:
    network = random_network(HierarchicalConfig(**TREE))
    frames, flows = clip(WINDOW)
    frames = frames[:, :1].expand(-1, WINDOW, -1, -1, -1)
    futures = network(frames, speed * flows / flows.norm(dim=2, keepdim=True), [1, 5])
    change = (futures - frames[:, -1:]).abs().max()
    assert change < 1e-4 if still else change > 0.01


def test_noise_is_in_the_upper_two_modules_and_in_training_only() -> None:
    network = random_network(HierarchicalConfig(form="tree", width=0.1, head="pixels", dropout=0.5))
    rates = [block.noise.p for block in network.top_down]
    assert rates == [0.0, 0.0, 0.5, 0.5]
    frames, _ = clip(WINDOW)
    with torch.no_grad():
        assert torch.equal(network(frames, None, [1]), network(frames, None, [1]))
        for block in network.top_down:
            block.noise.train()
        assert not torch.equal(network(frames, None, [1]), network(frames, None, [1]))


def test_wrong_shapes_and_settings_are_refused() -> None:
    network = random_network(HierarchicalConfig(**TREE))
    frames, flows = clip(WINDOW)
    with pytest.raises(ValueError, match="16"):
        network(frames[..., :20], flows[..., :20], [1])
    with pytest.raises(ValueError, match="8 frames"):
        network(frames[:, :7], flows[:, :7], [1])
    with pytest.raises(ValueError, match=r"1\.\.5"):
        network(frames, flows, [6])
    with pytest.raises(ValidationError, match="recursive"):
        HierarchicalConfig(motion_prior="dis", head="pixels", rollout="recursive")
    with pytest.raises(ValidationError):
        HierarchicalConfig(depth=3)  # type: ignore[call-arg]


def test_the_gradient_of_two_frames_is_right_in_bfloat16() -> None:
    """oneDNN's own is garbage for two frames under a temporal kernel of 3 (see PaddedInTime)."""
    torch.manual_seed(0)
    x, weight = torch.randn(4, 16, 2, 16, 20), torch.randn(16, 16, 3, 3, 3) / 20
    conv = PaddedInTime(16, 16, 3, 1, 1, bias=False).to(memory_format=torch.channels_last_3d)
    conv.weight.data.copy_(weight)
    with torch.autocast("cpu", torch.bfloat16):
        conv(x).float().square().sum().backward()
    wanted = weight.double().requires_grad_()
    F.conv3d(x.double(), wanted, padding=1).square().sum().backward()
    assert wanted.grad is not None and conv.weight.grad is not None
    assert (conv.weight.grad - wanted.grad).abs().max() < 0.02 * wanted.grad.abs().max()


@torch.no_grad()
def test_sway_shifts_the_forecast_by_what_it_makes_of_the_last_changes_of_motion() -> None:
    """An untrained head whose linear map says "the next change repeats the last one" moves all that moves by that much."""
    network = HierarchicalResidual(HierarchicalConfig(**TREE | {"sway": True})).eval()
    frames, _ = clip(WINDOW)
    flows = torch.zeros(1, WINDOW, 2, *SIZE)
    flows[:, :, 1] = torch.tensor([0.0, 2, 2, 2, 2, 2, 2, 3]).view(WINDOW, 1, 1)  # pixels per frame, downwards
    flows[:, -1, 0, : SIZE[0] // 4] = 40  # something that moves by itself in a quarter of the picture is not the camera
    steady = network(frames, flows, [1])
    network.head.sway.linear.weight[1, 1] = 1 / FLOW_UNIT  # type: ignore[union-attr]
    swayed = network(frames, flows, [1])
    flows[:, -1, 1] += 1  # the same as a prior that is one pixel longer
    network.head.sway.linear.weight.zero_()  # type: ignore[union-attr]
    assert not torch.allclose(steady, swayed, atol=0.01)
    assert torch.allclose(network(frames, flows, [1]), swayed, atol=1e-4)


@torch.no_grad()
def test_a_steady_network_falls_back_on_the_mean_flow() -> None:
    """Untrained and with flows that are the same everywhere, step k samples the last frame at the sum of its k velocities."""
    network = HierarchicalResidual(HierarchicalConfig(**TREE | {"sway": True, "steady": True})).eval()
    frames, _ = clip(WINDOW)
    flows = torch.zeros(1, WINDOW, 2, *SIZE)
    flows[:, :, 0] = torch.tensor([9.0, 9, 9, 9, 2, 2, 2, 4]).view(WINDOW, 1, 1)
    network.head.sway.linear.weight[4, 0] = 3 / FLOW_UNIT / 2  # type: ignore[union-attr]  # the third step turns 3 pixels more
    mean, last = (2 + 2 + 2 + 4) / 4, 4
    velocities = [mean + PERSISTENCE**k * (last - mean) for k in (1, 2, 3)]
    turned = 3 * (PERSISTENCE + PERSISTENCE**2 + PERSISTENCE**3) / 3
    motions = network.motions(frames, flows, [1, 2, 3])[0, :, 0]
    for motion, pixels in zip(motions, (velocities[0], sum(velocities[:2]), sum(velocities) + turned), strict=True):
        assert torch.allclose(motion, torch.tensor(pixels), atol=1e-4)


@torch.no_grad()
def test_with_sway_the_corrections_cannot_shift_the_picture_as_a_whole() -> None:
    frames, flows = clip(WINDOW)
    for sway in (False, True):
        network = HierarchicalResidual(HierarchicalConfig(**TREE | {"sway": sway})).eval()
        before = network(frames, flows, [1, 3])
        network.head.velocity.bias.fill_(0.5)  # type: ignore[union-attr]
        network.head.trunk.out.bias[:2].fill_(0.5)  # type: ignore[union-attr]
        assert torch.allclose(network(frames, flows, [1, 3]), before, atol=1e-5) == sway


def test_jolt_is_the_median_over_blocks() -> None:
    before, now = torch.randn(2, 3, 2, 32, 48).unbind()
    blocks = (now - before).numpy().reshape(3, 2, 4, 8, 6, 8).mean(axis=(3, 5)).reshape(3, 2, -1)
    upper = np.sort(blocks, axis=2)[..., blocks.shape[2] // 2 - 1]  # of an even number, the lower of the middle two
    assert np.allclose(jolt(before, now), upper, atol=1e-5)
