from __future__ import annotations

import numpy as np
import pytest
import torch

from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import PixelsConfig
from vidpred_ros.networks.pixels import PixelGenerator, PixelStep, blend, one_hot

TINY = {"kind": "pixels", "width": 0.04, "past": 2, "downsamplings": 2, "blocks": 2}


def network(**settings: object) -> PixelGenerator:
    torch.manual_seed(0)
    made = make_network(PixelsConfig.model_validate(TINY | settings))
    assert isinstance(made, PixelGenerator)
    return made


def inputs(past: int = 2, channels: int = 19, size: tuple[int, int] = (32, 48)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, past, 3, *size, generator=generator), torch.rand(2, past + 1, channels, *size, generator=generator)


def conv(inputs: int, outputs: int, side: int) -> int:
    return inputs * outputs * side**2 + outputs


@pytest.mark.parametrize(("past", "downsamplings", "blocks", "edges"), [(4, 3, 9, False), (5, 1, 4, True)])
def test_parameters_are_those_of_the_layers_written_down_by_hand(past: int, downsamplings: int, blocks: int, edges: bool) -> None:
    def norm(channels: int) -> int:
        return 2 * channels

    wide = 128 * 2**downsamplings
    block = 2 * (conv(wide, wide, 3) + norm(wide))
    down = sum(conv(128 * 2**i, 256 * 2**i, 3) + norm(256 * 2**i) for i in range(downsamplings))
    up = sum(conv(256 * 2**i, 128 * 2**i, 3) + norm(128 * 2**i) for i in range(downsamplings))
    encoders = conv((past + 1) * (19 + edges), 128, 7) + conv(past * 3, 128, 7) + 2 * (norm(128) + down)
    heads = conv(128, 3, 7) + conv(128, 2, 7) + conv(128, 1, 7)
    early = {9: 5, 4: 2}[blocks]
    wanted = encoders + 2 * up + heads + 2 * early * block + 2 * (blocks - early) * block
    config = PixelsConfig(kind="pixels", past=past, downsamplings=downsamplings, blocks=blocks, edges=edges)
    with torch.device("meta"):
        assert sum(p.numel() for p in PixelGenerator(config).parameters()) == wanted


def test_equation_3_pixel_by_pixel() -> None:
    net = network()  # in training mode: its batch norms do normalise
    torch.nn.init.normal_(net.flow[-1].weight, std=0.02)  # type: ignore[arg-type]
    past, structures = inputs()
    step = net(past, structures)
    assert step.flow.abs().max() > 1
    image, flow = past[:, -1].double().numpy(), step.flow.detach().double().numpy()
    mask, made = step.mask.detach().double().numpy(), step.hallucinated.detach().double().numpy()
    wanted = np.empty_like(image)
    for b, y, x in np.ndindex(2, 32, 48):
        at_x = np.clip(x + flow[b, 0, y, x], 0, 47)
        at_y = np.clip(y + flow[b, 1, y, x], 0, 31)
        left, top = int(at_x), int(at_y)
        right, low, u, v = min(left + 1, 47), min(top + 1, 31), at_x - left, at_y - top
        for c in range(3):
            above = (1 - u) * image[b, c, top, left] + u * image[b, c, top, right]
            below = (1 - u) * image[b, c, low, left] + u * image[b, c, low, right]
            warped = (1 - v) * above + v * below
            wanted[b, c, y, x] = (1 - mask[b, 0, y, x]) * warped + mask[b, 0, y, x] * made[b, c, y, x]
    np.testing.assert_allclose(step.frame.detach().numpy(), wanted, atol=2e-5)


def constant(head: torch.nn.Module, *values: float) -> None:
    torch.nn.init.zeros_(head[-1].weight)  # type: ignore[index]
    head[-1].bias.data = torch.tensor(values)  # type: ignore[index]


def test_flow_says_where_a_pixel_was() -> None:
    """Mask 0 and a flow of 5 to the left and 2 down: the scene has moved 5 to the right and 2 up."""
    net = network().eval()
    constant(net.flow, -5 / 20, 2 / 20)
    constant(net.mask, -100.0)
    past, structures = inputs()
    step = net(past, structures)
    torch.testing.assert_close(step.frame[..., :30, 5:], past[:, -1, :, 2:, :-5], atol=1e-5, rtol=0)
    torch.testing.assert_close(step.frame, step.warped)


def test_mask_1_takes_the_hallucinated_frame() -> None:
    net = network().eval()
    constant(net.mask, 100.0)
    constant(net.colours, 0.0, 1.0, -1.0)
    step = net(*inputs())
    wanted = (torch.tanh(torch.tensor([0.0, 1.0, -1.0])) + 1) / 2
    torch.testing.assert_close(step.frame, wanted[None, :, None, None].expand(2, 3, 32, 48))
    torch.testing.assert_close(blend(step.warped, step.hallucinated, torch.full((2, 1, 32, 48), 0.25)), 0.75 * step.warped + 0.25 * step.hallucinated)


def test_untrained_it_warps_by_nothing() -> None:
    past, structures = inputs()
    step = network().eval()(past, structures)
    assert isinstance(step, PixelStep)
    assert step.flow.abs().max() == 0
    torch.testing.assert_close(step.warped, past[:, -1], atol=1e-5, rtol=0)
    assert step.frame.min() >= 0 and step.frame.max() <= 1


def test_with_a_motion_prior_the_last_frame_moves_on() -> None:
    """The flows are 2, 3 and 4 to the right, 3 in the mean: the scene moves to the left. Training only has to correct it."""
    net = network(motion_prior="dis").eval()
    past, structures = inputs()
    prior = torch.zeros(2, 3, 2, 32, 48)
    prior[:, 0, 0], prior[:, 1, 0], prior[:, 2, 0] = 2, 3, 4
    step = net(past, structures, prior)
    torch.testing.assert_close(step.flow, prior.mean(1))
    torch.testing.assert_close(step.warped[..., :-3], past[:, -1, :, :, 3:], atol=1e-5, rtol=0)
    assert 0.05 < step.mask.mean() < 0.2
    constant(net.flow, 2 / 20, 0.0)
    torch.testing.assert_close(net(past, structures, prior).flow[:, 0], torch.full((2, 32, 48), 5.0))
    for one in range(3):
        constant(net.weigh, *(100.0 * (i == one) for i in range(3)))
        wanted = 4.0 + one  # that flow alone, and what the flow head adds
        torch.testing.assert_close(net(past, structures, prior).flow[:, 0], torch.full((2, 32, 48), wanted))
    with pytest.raises(ValueError, match="expected flows"):
        net(past, structures)
    with pytest.raises(ValueError, match="expected no flows"):
        network()(past, structures, prior)


def test_where_no_flow_moves_nothing_changes() -> None:
    """The left half stands still and stays as it is, whatever the heads say; on the right half the largest flow is of 0.25 pixels."""
    net = network(motion_prior="dis").eval()
    constant(net.flow, 2 / 20, 0.0)
    constant(net.mask, 100.0)
    past, structures = inputs()
    prior = torch.zeros(2, 3, 2, 32, 48)
    prior[:, 1, 1, :, 24:] = -0.25
    step = net(past, structures, prior)
    torch.testing.assert_close(step.frame[..., :24], past[:, -1, :, :, :24], atol=1e-5, rtol=0)
    torch.testing.assert_close(step.mask[..., 24:], torch.full((2, 1, 32, 24), 0.25))
    torch.testing.assert_close(step.flow[:, 0, :, 24:], torch.full((2, 32, 24), 0.5))
    torch.testing.assert_close(step.flow[:, 1, :, 24:], torch.full((2, 32, 24), -0.25 / 3))


def test_on_a_motion_prior_frames_are_sampled_bicubically() -> None:
    """Half a pixel to the left, against the cubic kernel with a = -0.75 written out (PyTorch's and ONNX' default)."""
    net = network(motion_prior="dis").eval()
    past, structures = inputs()
    prior = torch.zeros(2, 3, 2, 32, 48)
    prior[:, :, 0] = 0.5
    x = past[:, -1]
    far = -0.75 * (1.5**3 - 5 * 1.5**2 + 8 * 1.5 - 4)  # of the outer two of four pixels; the inner two share the rest
    near = 0.5 - far
    wanted = (far * (x[..., :-3] + x[..., 3:]) + near * (x[..., 1:-2] + x[..., 2:-1])).clamp(0, 1)
    torch.testing.assert_close(net(past, structures, prior).warped[..., 1:-2], wanted, atol=1e-5, rtol=0)


def test_the_network_sees_how_far_each_flow_fits_the_next_label_map() -> None:
    """Labels that went 2 to the right: the last flow, which says so, keeps every class, and the first one loses some."""
    net = network(motion_prior="dis")
    labels = torch.randint(0, 19, (2, 8, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    wide = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    maps = one_hot(torch.stack([wide[:, :, 2:50], wide[:, :, :48]], dim=1), 19)
    prior = torch.zeros(2, 3, 2, 32, 48)
    prior[:, 2, 0] = -2
    made = torch.cat(net._guesses(inputs()[0][:, -1], maps, prior), dim=1)
    assert made.shape == (2, 18, 32, 48)
    same = (wide[:, :, 2:50] == wide[:, :, :48]).float()
    torch.testing.assert_close(made[:, 5], same)
    torch.testing.assert_close(made[:, 17, :, 2:], torch.ones(2, 32, 46))


def test_the_prior_reaches_the_network() -> None:
    net = network(motion_prior="dis")
    past, structures = inputs()
    made = [net(past, structures, torch.full((2, 3, 2, 32, 48), flow)).hallucinated for flow in (0.0, 4.0)]
    assert (made[0] - made[1]).abs().max() > 1e-3


def test_one_hot_of_an_ignored_pixel_is_all_zeros() -> None:
    labels = torch.tensor([[[0, 18, 255], [3, 3, 19]]], dtype=torch.uint8)
    wanted = np.zeros((1, 19, 2, 3), np.float32)
    for y, x, c in ((0, 0, 0), (0, 1, 18), (1, 0, 3), (1, 1, 3)):
        wanted[0, c, y, x] = 1
    np.testing.assert_array_equal(one_hot(labels, 19).numpy(), wanted)


def test_what_does_not_fit_is_an_error() -> None:
    net = network()
    past, structures = inputs()
    with pytest.raises(ValueError, match="expected 2 past frames"):
        net(past[:, :1], structures)
    with pytest.raises(ValueError, match="structures \\(3, 19, 32, 48\\)"):
        net(past, structures[:, :, :18])
    with pytest.raises(ValueError, match="30x48: sides must be multiples of 4"):
        net(*inputs(size=(30, 48)))


def test_gradients_reach_every_parameter_and_a_clip_is_learnt() -> None:
    net = network(past=1)
    past, structures = inputs(1)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(2)), (32, 48), mode="bicubic")
    wanted = smooth.clamp(0, 1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for i in range(40):
        optimizer.zero_grad()
        losses.append((net(past, structures).frame - wanted).abs().mean())
        losses[-1].backward()
        if i == 1:  # in the first update the flow head's zeros keep its branch apart
            for name, parameter in net.named_parameters():
                followed_by_norm = name.endswith("bias") and not name.startswith(("colours", "flow", "mask"))
                assert parameter.grad is not None and (parameter.grad.abs().max() > 0 or followed_by_norm), name
        optimizer.step()
    assert losses[-1] < 0.4 * losses[0]
