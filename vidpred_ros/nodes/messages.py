"""Forecasts as messages: images, the filmstrip and the info array."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vidpred_ros import semantics
from vidpred_ros.forecast import Forecast
from vidpred_ros.images import fill_message_data

_BAND = 18  # rows above a picture of the filmstrip for its label
_GAP = 4  # columns between pictures


def stamp_to_ns(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_to_stamp(nanoseconds: int) -> Time:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def header(stamp_ns: int, frame_id: str) -> Header:
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def image_message(frame: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Image:
    """An HxWx3 uint8 RGB frame as sensor_msgs/Image (rgb8)."""
    return _image(frame, "rgb8", stamp_ns, frame_id)


class ReusedImage:
    """``image_message`` for one topic, whose message is made once and then filled anew: 2 us instead of 55.

    So a message is good until the next call, which is all that a publisher needs.
    """

    def __init__(self) -> None:
        self._message: Image | None = None

    def __call__(self, frame: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Image:
        message = self._message
        if message is None or (message.height, message.width, message.header.frame_id) != (*frame.shape[:2], frame_id):
            self._message = message = image_message(frame, stamp_ns, frame_id)
            return message
        message.header.stamp = ns_to_stamp(stamp_ns)
        memoryview(message.data)[:] = np.ascontiguousarray(frame).data.cast("B")
        return message


def label_message(labels: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Image:
    """An HxW label map as sensor_msgs/Image (mono8): the ids themselves."""
    return _image(labels, "mono8", stamp_ns, frame_id)


def label_color_message(labels: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Image:
    """An HxW label map as sensor_msgs/Image (rgb8) in the colours of Cityscapes."""
    return image_message(semantics.colorize(labels), stamp_ns, frame_id)


def float_message(values: NDArray[np.float32], stamp_ns: int, frame_id: str) -> Image:
    """An HxW map of numbers as sensor_msgs/Image (32FC1)."""
    return _image(values.astype(np.float32, copy=False), "32FC1", stamp_ns, frame_id)


def _image(pixels: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Image:
    height, width = pixels.shape[:2]
    return Image(
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=pixels.nbytes // height,
        data=fill_message_data(pixels),
    )


def compressed_message(frame: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> CompressedImage:
    """An HxWx3 uint8 RGB frame as sensor_msgs/CompressedImage (JPEG of quality 95, image_transport's default)."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return CompressedImage(
        header=header(stamp_ns, frame_id),
        format="rgb8; jpeg compressed bgr8",
        data=fill_message_data(encoded),
    )


def filmstrip(last: NDArray[np.uint8], forecast: Forecast) -> NDArray[np.uint8]:
    """The newest camera frame and the futures side by side (RGB), each under a label such as "+0.1 s"."""
    pictures = [(last, "now")]
    for horizon in forecast.horizons:
        if horizon.frame is not None:
            seconds = (horizon.stamp_ns - forecast.source_stamp_ns) / 1e9
            pictures.append((horizon.frame, f"+{seconds:.1f} s"))
    height, width = last.shape[:2]
    strip = np.zeros((height + _BAND, len(pictures) * (width + _GAP) - _GAP, 3), np.uint8)
    for index, (picture, label) in enumerate(pictures):
        left = index * (width + _GAP)
        strip[_BAND:, left : left + width] = picture
        cv2.putText(
            strip,
            label,
            (left + 3, _BAND - 5),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.45,
            (255, 255, 255),
            1,
            cv2.LINE_AA,
        )
    return strip


def filmstrip_message(last: NDArray[np.uint8], forecast: Forecast, frame_id: str) -> Image:
    """The filmstrip as sensor_msgs/Image, stamped with the last instant that it shows."""
    return image_message(filmstrip(last, forecast), forecast.horizons[-1].stamp_ns, frame_id)


def key_values(values: Mapping[str, object]) -> list[KeyValue]:
    """Values as text; a float with three decimals."""
    return [
        KeyValue(key=key, value=f"{value:.3f}" if isinstance(value, float) else str(value))
        for key, value in values.items()
    ]


def info_message(
    forecast: Forecast,
    frame_id: str,
    engine: str,
    sequence: int,
    latency_ms: Mapping[str, float],
    what: str = "frames",
    samples: int | None = None,
) -> DiagnosticArray:
    """One forecast's particulars as diagnostic_msgs/DiagnosticArray, stamped with the source frame's stamp.

    status[0]: hardware_id is the model id; the values are source_stamp_ns, period_ns, steps, horizon_s, model, engine,
    sequence (of the window), samples (if any were drawn) and latency_ms/<stage>. ``what`` says of what the forecast is.
    """
    steps = len(forecast.horizons)
    horizon_s = steps * forecast.period_ns / 1e9
    values: dict[str, object] = {
        "source_stamp_ns": forecast.source_stamp_ns,
        "period_ns": forecast.period_ns,
        "steps": steps,
        "horizon_s": horizon_s,
        "model": forecast.model_id,
        "engine": engine,
        "sequence": sequence,
    }
    if samples is not None:
        values["samples"] = samples
    values.update({f"latency_ms/{stage}": float(ms) for stage, ms in latency_ms.items()})
    status = DiagnosticStatus(
        level=DiagnosticStatus.OK,
        name="vidpred: forecast",
        message=f"{steps} {what} up to +{horizon_s:.1f} s",
        hardware_id=forecast.model_id,
        values=key_values(values),
    )
    return DiagnosticArray(header=header(forecast.source_stamp_ns, frame_id), status=[status])


def read_values(status: DiagnosticStatus) -> dict[str, str]:
    """The key/value pairs of a status."""
    return {item.key: item.value for item in status.values}


def publish_if_heard(publisher: Publisher, build: Callable[..., Any], *arguments: Any) -> bool:
    """Build and publish a message, unless nobody listens: then nothing is drawn, copied or encoded."""
    if publisher.get_subscription_count() == 0:
        return False
    publisher.publish(build(*arguments))
    return True
