"""vidpred_ros: future frames from a car's camera, on ROS 2 and without it."""

__version__ = "0.1.0"
