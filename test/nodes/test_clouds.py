import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from sensor_msgs.msg import CameraInfo, PointCloud2, PointField

from vidpred_ros.errors import ImageError
from vidpred_ros.ground import GroundPoints
from vidpred_ros.nodes import clouds
from vidpred_ros.nodes.clouds import camera_model, cloud_message
from vidpred_ros.nodes.messages import stamp_to_ns

DTYPES = {PointField.FLOAT32: np.float32, PointField.UINT8: np.uint8}


def some_points(count: int = 5) -> GroundPoints:
    random = np.random.default_rng(0)
    return GroundPoints(
        random.normal(size=(count, 3)).astype(np.float32),
        random.integers(0, 19, count).astype(np.uint8),
        random.random(count, np.float32),
        np.linspace(0.1, 0.5, count, dtype=np.float32),
    )


def read(cloud: PointCloud2, name: str) -> np.ndarray:
    """A field of every point, as the message itself describes it."""
    (field,) = [field for field in cloud.fields if field.name == name]
    kind = np.dtype(DTYPES[field.datatype]).newbyteorder(">" if cloud.is_bigendian else "<")
    rows = np.frombuffer(cloud.data, np.uint8).reshape(cloud.width, cloud.point_step)
    return np.ascontiguousarray(rows[:, field.offset : field.offset + kind.itemsize]).view(kind)[:, 0]


def check(cloud: PointCloud2, points: GroundPoints) -> None:
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "label", "probability", "horizon"]
    assert (cloud.height, cloud.width, cloud.row_step) == (1, len(points.xyz), len(cloud.data))
    assert np.array_equal(np.stack([read(cloud, axis) for axis in "xyz"], axis=-1), points.xyz)
    assert np.array_equal(read(cloud, "label"), points.labels)
    assert np.array_equal(read(cloud, "probability"), points.probability)
    assert np.array_equal(read(cloud, "horizon"), points.horizon_s)
    assert (stamp_to_ns(cloud.header.stamp), cloud.header.frame_id) == (7_000_000_001, "base_footprint")


@pytest.mark.parametrize("count", [5, 0])
def test_a_cloud_holds_every_point(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(clouds, "create_cloud", None)  # as where sensor_msgs_py is missing
    points = some_points(count)
    check(cloud_message(points, 7_000_000_001, "base_footprint"), points)


@pytest.mark.parametrize("count", [5, 0])
def test_sensor_msgs_py_packs_the_same_cloud(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    theirs = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="needs sensor_msgs_py of an installed ROS 2")
    points = some_points(count)
    cloud = cloud_message(points, 7_000_000_001, "base_footprint")
    check(cloud, points)
    assert np.array_equal(theirs.read_points(cloud)["label"], points.labels)
    monkeypatch.setattr(clouds, "create_cloud", None)
    assert cloud_message(points, 7_000_000_001, "base_footprint") == cloud


def test_a_calibrated_camera_is_read() -> None:
    info = CameraInfo(height=480, width=640, distortion_model="plumb_bob", d=[0.1, 0.0, 0.0, 0.0, 0.0])
    info.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    camera = camera_model(info)
    assert (camera.height, camera.width, camera.fisheye) == (480, 640, False)
    assert camera.matrix.tolist() == [[500, 0, 320], [0, 510, 240], [0, 0, 1]]
    assert camera.rays(np.array([[320.0, 240.0]])) == pytest.approx(np.zeros((1, 2)), abs=1e-9)
    info.distortion_model, info.d = "equidistant", [0.0] * 4
    assert camera_model(info).fisheye
    assert camera_model(CameraInfo(height=1, width=1, k=info.k)).distortion.tolist() == [0] * 5, "no lens is given"


def test_a_binned_part_of_the_sensor_sees_what_the_sensor_sees_there() -> None:
    info = CameraInfo(height=480, width=640, distortion_model="plumb_bob", d=[0.1, -0.05, 0.0, 0.0, 0.0])
    info.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    whole = camera_model(info)
    info.binning_x, info.binning_y = 2, 4
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 400, 320
    camera = camera_model(info)
    assert (camera.height, camera.width) == (80, 200)
    sent = np.array([[0.0, 0.0], [199.0, 79.0], [50.0, 7.0]])
    centres = np.array([100, 60]) + (np.array([2, 4]) - 1) / 2 + sent * [2, 4]  # of the pixels that were put together
    np.testing.assert_allclose(camera.rays(sent), whole.rays(centres), atol=1e-9)
    info.roi.x_offset = info.roi.y_offset = info.roi.width = info.roi.height = 0
    assert (camera_model(info).height, camera_model(info).width) == (120, 320), "no part is the whole"


def test_a_camera_that_cannot_be_used_is_refused_with_the_reason() -> None:
    with pytest.raises(ImageError, match="without calibration"):
        camera_model(CameraInfo(height=480, width=640))
    unknown = CameraInfo(height=480, width=640, distortion_model="fov")
    unknown.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    with pytest.raises(ImageError, match="'fov' is unknown; known are plumb_bob"):
        camera_model(unknown)
