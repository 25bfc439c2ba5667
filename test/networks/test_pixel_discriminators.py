from __future__ import annotations

import torch

from vidpred_ros.networks.pixel_discriminators import PixelDiscriminators


def judges(scales: int = 2) -> PixelDiscriminators:
    torch.manual_seed(0)
    return PixelDiscriminators(19, scales, 0.05)


def test_maps_of_each_scale() -> None:
    maps = judges().judge_frame(torch.rand(2, 3, 64, 96), torch.rand(2, 19, 64, 96))
    shapes = [[tuple(m.shape[2:]) for m in one] for one in maps]
    # a 4x4 convolution with padding 2 makes n / 2 + 1 of n at stride 2 and n + 1 at stride 1
    assert shapes[0] == [(33, 49), (17, 25), (9, 13), (10, 14), (11, 15)]
    assert shapes[1] == [(17, 25), (9, 13), (5, 7), (6, 8), (7, 9)]
    assert [m.shape[1] for m in maps[0]] == [4, 6, 13, 26, 1]
    assert len(judges(1).judge_video(torch.rand(1, 3, 3, 64, 64), torch.rand(1, 2, 2, 64, 64))) == 1


def test_parameters_are_those_of_the_layers_written_down_by_hand() -> None:
    def one(inputs: int) -> int:
        convs = sum(16 * a * b + b for a, b in ((inputs, 64), (64, 128), (128, 256), (256, 512), (512, 1)))
        return convs + 2 * (128 + 256 + 512)

    with torch.device("meta"):
        found = PixelDiscriminators(20, 3)
        assert sum(p.numel() for p in found.image.parameters()) == 3 * one(23)
        assert sum(p.numel() for p in found.video.parameters()) == 3 * one(3 * 3 + 2 * 2)


def test_the_coarser_scale_sees_means() -> None:
    net = judges()
    frame, structure = torch.rand(1, 3, 64, 64), torch.rand(1, 19, 64, 64)
    x = torch.cat([2 * frame - 1, structure], 1)
    small = torch.empty(1, 22, 32, 32)
    for i in range(32):
        for j in range(32):
            rows, columns = slice(max(0, 2 * i - 1), 2 * i + 2), slice(max(0, 2 * j - 1), 2 * j + 2)
            small[..., i, j] = x[..., rows, columns].mean((2, 3))
    torch.testing.assert_close(net.judge_frame(frame, structure)[1][-1], net.image.scales[1](small)[-1], atol=1e-5, rtol=1e-4)


def test_every_frame_and_flow_counts() -> None:
    net = judges()
    frames = torch.rand(1, 3, 3, 32, 32, requires_grad=True)
    flows = torch.rand(1, 2, 2, 32, 32, requires_grad=True)
    torch.stack([maps[-1].pow(2).sum() for maps in net.judge_video(frames, flows)]).sum().backward()
    assert frames.grad is not None and (frames.grad.abs().amax((0, 2, 3, 4)) > 0).all()
    assert flows.grad is not None and (flows.grad.abs().amax((0, 2, 3, 4)) > 0).all()
