"""A camera image that came as a message and becomes pixels when a lane asks for them."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from vidpred_ros.images import camera_frame, decode_compressed
from vidpred_ros.preprocess import crop_and_resize


class Picture:
    """Frames that no lane keeps cost nothing; a compressed one is decoded once for all of them.

    ``signature`` is what the header tells of the image's shape and encoding: another one begins another window.
    """

    def __init__(self, message: Image | CompressedImage) -> None:
        self._message = message
        self._decoded: NDArray[np.uint8] | None = None
        if isinstance(message, CompressedImage):
            self.signature: Hashable = message.format
        else:
            self.signature = (message.height, message.width, message.encoding)

    @property
    def shape(self) -> Hashable:
        """What the pixels turned out to be; of a compressed image, known once ``at`` was called."""
        return self.signature if self._decoded is None else self._decoded.shape

    def at(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The image cropped and resized to ``size`` = (height, width): HxWx3 uint8 RGB. Raises ImageError."""
        image = self._message
        if isinstance(image, CompressedImage):
            if self._decoded is None:
                self._decoded = decode_compressed(image.data, image.format)
            return crop_and_resize(self._decoded, size)
        shape = (image.height, image.width, image.encoding, image.is_bigendian, image.step)
        return camera_frame(*shape, image.data, size)
