"""Built by colcon on a car and by pip elsewhere; both install the same tree (see data_files)."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "vidpred_ros"

ROS_WHEELS = [
    "ros-ament-index-python",
    "ros-builtin-interfaces",
    "ros-diagnostic-msgs",
    "ros-lifecycle-msgs",
    "ros-rcl-interfaces",
    "ros-rclpy",
    "ros-rmw-fastrtps-cpp",
    "ros-rosgraph-msgs",
    "ros-sensor-msgs",
    "ros-std-msgs",
    "ros-std-srvs",
]
TORCH = ["torch>=2.6", "onnxscript>=0.3", "ml_dtypes>=0.5"]


def files_under(folder: str) -> list[str]:
    """Every file below ``folder`` except Python's caches and hidden files, as paths from here."""
    return sorted(
        path.as_posix()
        for path in Path(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    )


def share(folder: str) -> list[tuple[str, list[str]]]:
    """``folder`` with its subfolders as data_files under share/vidpred_ros/."""
    by_folder: dict[str, list[str]] = {}
    for path in files_under(folder):
        by_folder.setdefault(f"share/{NAME}/{Path(path).parent.as_posix()}", []).append(path)
    return list(by_folder.items())


def package_data(package: str) -> list[str]:
    """Templates, recipes and other files of a package that are not Python, as paths from the package."""
    return [Path(p).relative_to(package).as_posix() for p in files_under(package) if not p.endswith(".py")]


setup(
    name=NAME,
    version="0.1.0",
    description="Future frames from a car's camera, on ROS 2 and without it",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*", "training", "training.*"]),
    package_data={package: package_data(package) for package in (NAME, "training")},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *share("config"),
        *share("launch"),
        *share("models"),
        # As data and not as entry points: pip would put those into bin/, where `ros2 run` does not look.
        (f"lib/{NAME}", ["scripts/camera", "scripts/predictor"]),
    ],
    entry_points={"console_scripts": ["vidpred = vidpred_ros.cli:main"]},
    install_requires=[
        "av>=14.1",
        "jinja2>=3",
        "matplotlib>=3.5",
        "numpy>=1.26",
        "onnx>=1.17",
        "opencv-python-headless>=4.6",
        "pydantic>=2",
        "pillow>=10.1",
        "PyYAML>=5.4",
        "rich>=12",
        "rosbags>=0.11",
        "safetensors>=0.4",
        "scikit-image>=0.19",
        "typer>=0.12",
        "typing_extensions>=4.6",
    ],
    extras_require={
        "ros": ROS_WHEELS,  # only where ROS 2 is not installed
        "cpu": ["onnxruntime>=1.20", "openvino>=2024.6"],
        "gpu": ["onnxruntime-gpu>=1.20", *TORCH],
        "train": [*TORCH, "tensorboard>=2.10"],
        "test": [
            "hypothesis>=6",
            "mypy>=1.13",
            "pytest>=7,<9",
            "pytest-xdist>=3",
            "ruff>=0.8",
            "scipy>=1.9",
            "torchmetrics>=1.4",
        ],
    },
    zip_safe=False,
)
