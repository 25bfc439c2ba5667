"""Between image messages and RGB arrays, for every encoding that a car's camera driver sends. Knows no ROS.

cv_bridge is not used: it is missing outside an installed ROS, shears bgr8 images whose ``step`` is no multiple of 3
and breaks on big-endian mono16 with numpy 2. Here the bytes are viewed as rows of ``step`` bytes and sliced; OpenCV
does the colour arithmetic. Names follow sensor_msgs/image_encodings.hpp. YUV is BT.601 with the video range
(Y 16..235), as V4L2 cameras send it; mono16 is scaled by 1/257, so its full range becomes 0..255.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vidpred_ros.errors import ImageError
from vidpred_ros.preprocess import crop_window, resize

if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview | array.array[int] | NDArray[np.uint8]

Pixels = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]  # top, left, height, width

#: One pixel after the other: (channels, OpenCV code to RGB). 8UC3 and 8UC4 name no colours; OpenCV's order is assumed.
_INTERLEAVED: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
}
#: ROS names the first two pixels of the first two rows; OpenCV's classic names start at the second row and column.
_BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}
_YUV422 = {
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,  # the deprecated name of uyvy
    "yuyv": cv2.COLOR_YUV2RGB_YUYV,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUYV,  # the deprecated name of yuyv
}
#: A plane of Y, then a plane of interleaved chroma of half the height, both with rows of ``step`` bytes.
_YUV420 = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}

#: Every encoding that ``to_rgb`` and ``camera_frame`` read.
ENCODINGS = (*_INTERLEAVED, "mono16", *_BAYER, *_YUV422, *_YUV420)

#: Further pixels that Bayer interpolation needs around a crop to give what it gives in the whole image.
_MARGIN = 2


def to_rgb(height: int, width: int, encoding: str, is_bigendian: bool | int, step: int, data: Buffer) -> Pixels:
    """The image of a sensor_msgs/Image as height x width x 3 uint8 RGB.

    ``data`` is anything with the buffer protocol. An rgb8 image comes back as a view of it, every other one as a new
    array. Bytes after the last row are ignored, as some drivers pad the end of the buffer. Raises ImageError for an
    unknown encoding, an empty image, a step smaller than a row, too little data, or an odd size in an encoding that
    shares chroma between pixels.
    """
    pixels, code = _unpack(height, width, encoding, is_bigendian, step, data, (0, 0, height, width))
    return pixels if code is None else cv2.cvtColor(pixels, code)


def camera_frame(
    height: int, width: int, encoding: str, is_bigendian: bool | int, step: int, data: Buffer, size: tuple[int, int]
) -> Pixels:
    """``crop_and_resize(to_rgb(...), size)`` in the cheapest order: crop, resize, and only then swap the channels.

    Returns ``size`` (height, width) x 3 uint8 RGB that shares no memory with ``data``. Raises what ``to_rgb`` raises.
    """
    window = crop_window(height, width, size)
    pixels, code = _unpack(height, width, encoding, is_bigendian, step, data, window)
    small = resize(pixels, size)
    return small if code is None else cv2.cvtColor(small, code)


def label_ids(height: int, width: int, encoding: str, step: int, data: Buffer) -> Pixels:
    """The ids of a label map in a sensor_msgs/Image (mono8 or 8UC1) as height x width uint8: a view of ``data``.

    Raises ImageError for another encoding, an empty map, a step smaller than a row or too little data.
    """
    if encoding not in ("mono8", "8UC1"):
        raise ImageError(f"a label map is mono8 or 8UC1, a byte for each pixel, not {encoding!r}")
    if height < 1 or width < 1:
        raise ImageError(f"the label map is empty: {width}x{height} pixels")
    return _rows(height, width, encoding, step, data, row_bytes=width)


def _unpack(
    height: int, width: int, encoding: str, big: bool | int, step: int, data: Buffer, window: Rectangle
) -> tuple[Pixels, int | None]:
    """The pixels inside ``window`` as 8-bit channels, and the OpenCV code that makes them RGB (None: they are RGB).

    The code is one that commutes with a resize: it only moves, drops or repeats channels.
    """
    if encoding not in ENCODINGS:
        raise ImageError(f"image encoding {encoding!r} is not supported; supported are {', '.join(ENCODINGS)}")
    if height < 1 or width < 1:
        raise ImageError(f"the {encoding} image is empty: {width}x{height} pixels")
    top, left, crop_h, crop_w = window
    here = np.s_[top : top + crop_h, left : left + crop_w]

    if encoding in _INTERLEAVED:
        channels, code = _INTERLEAVED[encoding]
        rows = _rows(height, width, encoding, step, data, row_bytes=width * channels)
        return rows.reshape(height, width, channels)[here], code  # splitting the last axis copies nothing

    if encoding == "mono16":
        rows = _rows(height, width, encoding, step, data, row_bytes=width * 2)
        native = rows.view(">u2" if big else "<u2")[here].astype(np.uint16)
        return cv2.convertScaleAbs(native, alpha=1 / 257), cv2.COLOR_GRAY2RGB

    # The rest share samples between neighbours: convert a somewhat larger window that starts on an even row and column.
    y0, x0 = max(0, top - _MARGIN) & ~1, max(0, left - _MARGIN) & ~1
    y1, x1 = min(height, (top + crop_h + _MARGIN + 1) & ~1), min(width, (left + crop_w + _MARGIN + 1) & ~1)
    inside = np.s_[top - y0 : top - y0 + crop_h, left - x0 : left - x0 + crop_w]

    if encoding in _BAYER:
        if height < 4 or width < 4:
            raise ImageError(f"a {encoding} image of {width}x{height} pixels is too small to interpolate: 4x4 or more")
        rows = _rows(height, width, encoding, step, data, row_bytes=width)
        return cv2.cvtColor(rows[y0:y1, x0:x1], _BAYER[encoding])[inside], None

    if width % 2 or (encoding in _YUV420 and height % 2):
        raise ImageError(f"{encoding} shares chroma between pairs of pixels and cannot be {width}x{height}: odd size")
    if encoding in _YUV422:
        rows = _rows(height, width, encoding, step, data, row_bytes=width * 2)
        pairs = rows.reshape(height, width, 2)[y0:y1, x0:x1]
        return cv2.cvtColor(pairs, _YUV422[encoding])[inside], None

    rows = _rows(height + height // 2, width, encoding, step, data, row_bytes=width)
    luma = rows[y0:y1, x0:x1]
    chroma = rows[height:].reshape(height // 2, width // 2, 2)[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
    return cv2.cvtColorTwoPlane(luma, chroma, _YUV420[encoding])[inside], None


def _rows(rows: int, width: int, encoding: str, step: int, data: Buffer, row_bytes: int) -> Pixels:
    """A view of ``data`` as ``rows`` x ``row_bytes``, the padding of each row sliced away."""
    if step < row_bytes:
        raise ImageError(f"step is {step} bytes, but a row of {width} {encoding} pixels takes {row_bytes}")
    flat = np.frombuffer(data, np.uint8)
    if flat.size < rows * step:
        wanted = f"{rows} rows of {step} bytes are {rows * step}"
        raise ImageError(f"the {encoding} image has {flat.size} bytes, but {wanted}")
    return flat[: rows * step].reshape(rows, step)[:, :row_bytes]


def decode_compressed(data: Buffer, format: str = "") -> Pixels:
    """The image of a sensor_msgs/CompressedImage (or an image file's bytes) as HxWx3 uint8 RGB.

    What the bytes are is read from the bytes; ``format`` serves the message and to turn away depth maps. Grey images
    come back with three equal channels. Raises ImageError for bytes that are no whole JPEG, PNG or other image.
    """
    if "compressedDepth" in format:
        raise ImageError(f"format {format!r} is a depth map, not a camera image; choose a colour or mono topic")
    encoded = np.frombuffer(data, np.uint8).tobytes()
    # OpenCV 4 fills the missing part of a JPEG with grey and says nothing. The end marker must follow the last scan.
    cut_short = encoded.startswith(b"\xff\xd8") and encoded.rfind(b"\xff\xd9") < encoded.rfind(b"\xff\xda")
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded and not cut_short else None
    if image is None:
        what = "cut short" if cut_short else "empty" if not encoded else "damaged or of an unknown type"
        raise ImageError(f"the compressed image ({format or 'no format given'}, {len(encoded)} bytes) is {what}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def fill_message_data(image: NDArray[np.uint8]) -> array.array[int]:
    """An image as the array that a message's ``data`` takes without a further copy (0.13 ms for 2.7 MB).

    Assigning the ndarray, bytes or a memoryview instead makes rclpy check each byte in Python: 2 to 230 ms.
    """
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(image).data.cast("B"))
    return data
