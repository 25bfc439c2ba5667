"""Points on the ground as sensor_msgs/PointCloud2, and the camera that they come from."""

from __future__ import annotations

import sys

import numpy as np
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField

from vidpred_ros.errors import ImageError
from vidpred_ros.ground import CameraModel, GroundPoints
from vidpred_ros.images import fill_message_data
from vidpred_ros.nodes.messages import header

try:  # of an installed ROS; the wheels have none, and its points are packed as ours are
    from sensor_msgs_py.point_cloud2 import create_cloud
except ImportError:
    create_cloud = None

#: One point: 24 bytes, the floats on whole words.
_LAYOUT = (
    ("x", 0, PointField.FLOAT32, "f4"),
    ("y", 4, PointField.FLOAT32, "f4"),
    ("z", 8, PointField.FLOAT32, "f4"),
    ("label", 12, PointField.UINT8, "u1"),
    ("probability", 16, PointField.FLOAT32, "f4"),
    ("horizon", 20, PointField.FLOAT32, "f4"),
)
FIELDS = [PointField(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind, _ in _LAYOUT]
POINT = np.dtype(
    {
        "names": [name for name, *_ in _LAYOUT],
        "formats": [code for *_, code in _LAYOUT],
        "offsets": [offset for _, offset, *_ in _LAYOUT],
    }
)

#: CameraInfo.distortion_model: whether it is OpenCV's fisheye model.
_MODELS = {"": False, "plumb_bob": False, "rational_polynomial": False, "equidistant": True}


def cloud_message(points: GroundPoints, stamp_ns: int, frame_id: str) -> PointCloud2:
    """Fields x, y, z (m), label (train id), probability, horizon (s), as the class of ``points`` explains them."""
    packed = np.zeros(len(points.xyz), POINT)
    for axis, name in enumerate("xyz"):
        packed[name] = points.xyz[:, axis]
    packed["label"], packed["probability"] = points.labels, points.probability
    packed["horizon"] = points.horizon_s
    head = header(stamp_ns, frame_id)
    if create_cloud is not None and len(packed):  # which cannot pack nothing
        return create_cloud(head, FIELDS, packed)
    return PointCloud2(
        header=head,
        height=1,
        width=len(packed),
        fields=FIELDS,
        is_bigendian=sys.byteorder == "big",
        point_step=POINT.itemsize,
        row_step=packed.nbytes,
        data=fill_message_data(packed.view(np.uint8)),
        is_dense=False,
    )


def camera_model(info: CameraInfo) -> CameraModel:
    """The camera of the images as they are sent: K is of the whole sensor, of which they show ``roi``, binned.

    Raises ImageError for a camera that is not calibrated or has a lens of a model that is not known.
    """
    matrix = np.array(info.k, np.float64).reshape(3, 3)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and info.height and info.width):
        raise ImageError(
            "the CameraInfo is that of a camera without calibration (its K is zero); calibrate it"
        )
    if info.distortion_model not in _MODELS:
        raise ImageError(
            f"distortion model {info.distortion_model!r} is unknown; known are {', '.join(filter(None, _MODELS))}"
        )
    fisheye = _MODELS[info.distortion_model]
    distortion = np.array(info.d, np.float64) if len(info.d) else np.zeros(4 if fisheye else 5)
    binning = np.maximum(1, (info.binning_x, info.binning_y))  # 0 means 1, and a roi of 0 the whole sensor
    width, height = (info.roi.width or info.width, info.roi.height or info.height) // binning
    matrix[:2, 2] += 0.5 - np.array([info.roi.x_offset, info.roi.y_offset])  # from the corner of the first pixel that is sent
    matrix[:2] /= binning[:, None]
    matrix[:2, 2] -= 0.5
    return CameraModel(int(height), int(width), matrix, distortion, fisheye)
