"""The image converter against plain numpy references: every encoding, padding, both endians, and what must fail."""

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidpred_ros.errors import ImageError
from vidpred_ros.images import (
    ENCODINGS,
    camera_frame,
    decode_compressed,
    fill_message_data,
    label_ids,
    to_rgb,
)
from vidpred_ros.preprocess import crop_and_resize

BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
YUV422 = ("uyvy", "yuv422", "yuyv", "yuv422_yuy2")
YUV420 = ("nv12", "nv21")


def random_image(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def pack(rows, padding=0):
    """Rows of bytes with ``padding`` bytes of rubbish after each: (step, data)."""
    rubbish = np.full((rows.shape[0], padding), 0xA5, np.uint8)
    return rows.shape[1] + padding, np.hstack([rows, rubbish]).tobytes()


def message(height, width, encoding, padding=0, seed=0):
    """Arguments of ``to_rgb`` for an image of random bytes."""
    row_bytes = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "8UC4": 4, "mono16": 2}.get(encoding, 1)
    row_bytes = width * (2 if encoding in YUV422 else row_bytes)
    rows = height * 3 // 2 if encoding in YUV420 else height
    step, data = pack(random_image(rows, row_bytes, seed=seed)[..., 0], padding)
    return height, width, encoding, False, step, data


def even(height, width, encoding):
    """The sizes, made even where the encoding needs it and large enough for Bayer."""
    if encoding in YUV422 + YUV420:
        return height + height % 2, width + width % 2
    return (max(height, 4), max(width, 4)) if encoding in BAYER else (height, width)


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb8", [0, 1, 2]),
        ("bgr8", [2, 1, 0]),
        ("rgba8", [0, 1, 2, 3]),
        ("bgra8", [2, 1, 0, 3]),
        ("8UC3", [2, 1, 0]),
        ("8UC4", [2, 1, 0, 3]),
    ],
)
def test_colour_encodings_only_move_channels(encoding, order, padding):
    wanted = random_image(5, 7, len(order))
    step, data = pack(wanted[..., order].reshape(5, -1), padding)
    got = to_rgb(5, 7, encoding, False, step, data)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, wanted[..., :3])


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_repeats_its_value(encoding):
    grey = random_image(5, 7, 1)
    step, data = pack(grey.reshape(5, -1), padding=3)
    np.testing.assert_array_equal(to_rgb(5, 7, encoding, False, step, data), np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize(("big", "dtype"), [(False, "<u2"), (True, ">u2"), (0, "<u2"), (1, ">u2")])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_mono16_of_both_endians_keeps_the_full_range(big, dtype, padding):
    values = np.random.default_rng(0).integers(0, 65536, (6, 5)).astype(dtype)
    values[0, :2] = 0, 65535
    step, data = pack(values.view(np.uint8).reshape(6, 10), padding)
    wanted = np.rint(values.astype(float) / 257).astype(np.uint8)
    np.testing.assert_array_equal(to_rgb(6, 5, "mono16", big, step, data), np.repeat(wanted[..., None], 3, axis=2))


def demosaic_reference(mosaic, pattern):
    """Bilinear demosaicing by brute force: each missing sample is the mean of the nearest samples of its colour."""
    height, width = mosaic.shape
    colour = np.array(["rgb".index(pattern[2 * (y % 2) + x % 2]) for y in range(height) for x in range(width)])
    colour = colour.reshape(height, width)
    out = np.zeros((height, width, 3))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            for c in range(3):
                around = [(y, x)], [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)], \
                         [(y - 1, x - 1), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x + 1)]  # fmt: skip
                for ring in around:
                    samples = [float(mosaic[p]) for p in ring if colour[p] == c]
                    if samples:
                        out[y, x, c] = np.mean(samples)
                        break
    return out


@pytest.mark.parametrize("encoding", BAYER)
def test_bayer_follows_the_names_of_ros(encoding):
    mosaic = random_image(9, 12, 1)[..., 0]
    step, data = pack(mosaic, padding=5)
    got = to_rgb(9, 12, encoding, False, step, data).astype(float)
    wanted = demosaic_reference(mosaic, encoding[len("bayer_") : -1])
    assert np.abs(got - wanted)[1:-1, 1:-1].max() <= 1


@pytest.mark.parametrize("encoding", BAYER)
def test_bayer_of_one_colour_is_that_colour_up_to_the_border(encoding):
    pattern = encoding[len("bayer_") : -1]
    colour = {"r": 200, "g": 90, "b": 20}
    mosaic = np.array([[colour[pattern[2 * (y % 2) + x % 2]] for x in range(8)] for y in range(6)], np.uint8)
    assert (to_rgb(6, 8, encoding, False, 8, mosaic.tobytes()) == (200, 90, 20)).all()


def yuv_reference(y, u, v):
    """BT.601, video range, in floating point; what is darker than black is black."""
    y, u, v = 255 / 219 * np.maximum(y.astype(float) - 16, 0), u.astype(float) - 128, v.astype(float) - 128
    scale = 255 / 224
    red = y + scale * 1.402 * v
    green = y - scale * (0.114 * 1.772 / 0.587 * u + 0.299 * 1.402 / 0.587 * v)
    blue = y + scale * 1.772 * u
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("encoding", YUV422)
def test_yuv422(encoding, padding):
    y, u, v = (random_image(4, width, 1, seed)[..., 0] for seed, width in enumerate((6, 3, 3)))
    rows = np.empty((4, 12), np.uint8)
    first = 1 if encoding in ("uyvy", "yuv422") else 0
    rows[:, first::2], rows[:, 1 - first :: 4], rows[:, 3 - first :: 4] = y, u, v
    step, data = pack(rows, padding)
    wanted = yuv_reference(y, u.repeat(2, axis=1), v.repeat(2, axis=1))
    assert np.abs(to_rgb(4, 6, encoding, False, step, data) - wanted).max() <= 2


@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("encoding", YUV420)
def test_yuv420_semi_planar(encoding, padding):
    y, u, v = (random_image(*shape, 1, seed)[..., 0] for seed, shape in enumerate(((4, 6), (2, 3), (2, 3))))
    chroma = np.stack([u, v] if encoding == "nv12" else [v, u], axis=-1).reshape(2, 6)
    step, data = pack(np.vstack([y, chroma]), padding)
    wanted = yuv_reference(y, u.repeat(2, 0).repeat(2, 1), v.repeat(2, 0).repeat(2, 1))
    assert np.abs(to_rgb(4, 6, encoding, False, step, data) - wanted).max() <= 2


@settings(deadline=None, max_examples=200)
@given(
    encoding=st.sampled_from(ENCODINGS),
    height=st.integers(1, 60),
    width=st.integers(1, 80),
    padding=st.integers(0, 9),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_camera_frame_is_conversion_then_crop_then_resize(encoding, height, width, padding, size):
    height, width = even(height, width, encoding)
    sent = message(height, width, encoding, padding)
    wanted = crop_and_resize(to_rgb(*sent), size)
    got = camera_frame(*sent, size)
    assert got.shape == (*size, 3) and got.dtype == np.uint8
    assert np.abs(got.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: array.array("B", b), np.array])
def test_every_buffer_is_read(kind):
    image = random_image(4, 5)
    data = image.reshape(-1) if kind is np.array else image.tobytes()
    np.testing.assert_array_equal(to_rgb(4, 5, "rgb8", False, 15, kind(data)), image)


def test_rgb8_is_a_view_and_a_camera_frame_never_is():
    data = array.array("B", bytes(8 * 10 * 3))
    assert np.shares_memory(to_rgb(8, 10, "rgb8", False, 30, data), np.frombuffer(data, np.uint8))
    for size in [(8, 10), (4, 5)]:
        assert not np.shares_memory(camera_frame(8, 10, "rgb8", False, 30, data, size), np.frombuffer(data, np.uint8))


def test_bytes_after_the_last_row_are_ignored():
    image = random_image(4, 5)
    np.testing.assert_array_equal(to_rgb(4, 5, "rgb8", False, 15, image.tobytes() + b"pad"), image)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("convert", [to_rgb, lambda *sent: camera_frame(*sent, (4, 5))])
def test_wrong_headers_raise_one_clear_error(encoding, convert):
    height, width, _, big, step, data = message(8, 10, encoding)
    with pytest.raises(ImageError, match=f"step is {step - 1} bytes.*takes {step}"):
        convert(height, width, encoding, big, step - 1, data)
    with pytest.raises(ImageError, match=f"has {len(data) - 1} bytes.* are {len(data)}"):
        convert(height, width, encoding, big, step, data[:-1])
    with pytest.raises(ImageError, match="bytes"):
        convert(height, width, encoding, big, step, b"")
    for empty in [(0, width), (height, 0), (0, 0)]:
        with pytest.raises(ImageError, match="empty"):
            convert(*empty, encoding, big, step, data)


@pytest.mark.parametrize(
    ("encoding", "height", "width"), [(e, 4, 5) for e in YUV422 + YUV420] + [(e, 5, 4) for e in YUV420]
)
def test_odd_sizes_cannot_share_chroma(encoding, height, width):
    with pytest.raises(ImageError, match=f"{width}x{height}: odd size"):
        to_rgb(height, width, encoding, False, 64, bytes(64 * 12))


def test_yuv422_may_have_an_odd_height():
    assert to_rgb(3, 4, "uyvy", False, 8, bytes(24)).shape == (3, 4, 3)


def test_tiny_bayer_is_refused():
    with pytest.raises(ImageError, match="too small"):
        to_rgb(2, 8, "bayer_rggb8", False, 8, bytes(16))


@pytest.mark.parametrize("encoding", ["", "RGB8", "32FC1", "rgb16", "jpeg"])
def test_an_unknown_encoding_lists_the_known_ones(encoding):
    with pytest.raises(ImageError) as error:
        to_rgb(4, 4, encoding, False, 16, bytes(64))
    assert repr(encoding) in str(error.value)
    assert all(known in str(error.value) for known in ENCODINGS)


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "mono8", "bayer_rggb8", "bayer_gbrg8"])
def test_agrees_with_cv_bridge_where_ros_is_installed(encoding):
    bridge = pytest.importorskip("cv_bridge", reason="cv_bridge comes only with an installed ROS")
    height, width, _, big, step, data = message(16, 20, encoding)
    sent = SimpleNamespace(height=height, width=width, encoding=encoding, is_bigendian=big, step=step, data=data)
    theirs = bridge.CvBridge().imgmsg_to_cv2(sent, desired_encoding="rgb8")
    assert np.abs(to_rgb(height, width, encoding, big, step, data).astype(int) - theirs)[1:-1, 1:-1].max() <= 1


def smooth_image():
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    red, green, blue = np.tile(ramp, (48, 1)), np.tile(ramp[:48, None], (1, 64)), np.full((48, 64), 30, np.uint8)
    return np.stack([red, green, blue], axis=-1)


def encode(image, extension):
    return cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.mark.parametrize(("extension", "tolerance"), [(".png", 0), (".jpg", 6)])
def test_compressed_images_come_back_as_rgb(extension, tolerance):
    image = smooth_image()
    data = array.array("B", encode(image, extension))
    got = decode_compressed(data, f"rgb8; {extension[1:]} compressed bgr8")
    assert got.dtype == np.uint8 and got.shape == image.shape
    assert np.abs(got.astype(int) - image).max() <= tolerance


def test_a_compressed_grey_image_has_three_equal_channels():
    grey = smooth_image()[..., 0]
    got = decode_compressed(cv2.imencode(".png", grey)[1], "mono8; png compressed")
    np.testing.assert_array_equal(got, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_compressed_image_that_is_cut_short_raises(extension, share):
    data = encode(random_image(48, 64), extension)
    with pytest.raises(ImageError, match="cut short|damaged"):
        decode_compressed(data[: int(len(data) * share)], extension[1:])


@pytest.mark.parametrize(("data", "what"), [(b"", "empty"), (b"not an image at all", "damaged")])
def test_rubbish_raises(data, what):
    with pytest.raises(ImageError, match=what):
        decode_compressed(data, "jpeg")


def test_padding_after_a_jpeg_is_no_damage():
    image = smooth_image()
    assert decode_compressed(encode(image, ".jpg") + bytes(200), "jpeg").shape == image.shape


def test_compressed_depth_is_turned_away():
    with pytest.raises(ImageError, match="depth map"):
        decode_compressed(b"\0" * 12 + encode(smooth_image(), ".png"), "16UC1; compressedDepth png")


@pytest.mark.parametrize("image", [random_image(7, 5), random_image(8, 10)[::2, ::2], random_image(6, 4, 1)[..., 0]])
def test_message_data_is_the_image_row_by_row(image):
    data = fill_message_data(image)
    assert isinstance(data, array.array) and data.typecode == "B"
    assert data.tobytes() == image.tobytes()


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
@pytest.mark.parametrize("padding", [0, 3])
def test_the_ids_of_a_label_map_come_as_they_are(encoding, padding):
    labels = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
    step, data = pack(labels, padding)
    assert np.array_equal(label_ids(5, 7, encoding, step, data), labels)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((2, 3, "rgb8", 9, bytes(18)), "mono8 or 8UC1, a byte for each pixel, not 'rgb8'"),
        ((2, 3, "mono16", 6, bytes(12)), "not 'mono16'"),
        ((0, 3, "mono8", 3, b""), "empty: 3x0"),
        ((2, 3, "mono8", 2, bytes(6)), "takes 3"),
        ((2, 3, "mono8", 3, bytes(5)), "has 5 bytes"),
    ],
)
def test_what_is_no_label_map_is_refused(arguments, complaint):
    with pytest.raises(ImageError, match=complaint):
        label_ids(*arguments)
