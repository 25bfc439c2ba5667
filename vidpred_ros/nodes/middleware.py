"""What a process needs before it opens a ROS graph with large images: the Fast DDS profile and a patient malloc.

Imports no ROS, so that `vidpred doctor` can ask it on a machine without one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
#: Fast DDS's older name for the same; with both set the profile is dropped, so a user's own setting is left alone.
OLD_PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
#: Free shared memory below which the 64 MB segments of a camera and a predictor would not fit.
NEEDED_SHARED_MEMORY = 256 * 2**20

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_MALLOC_THRESHOLD = 32 * 2**20  # the largest that glibc takes


def config_file(name: str) -> Path:
    """A file of the package's config folder, in a checkout or in the share folder of an installation.

    Raises FileNotFoundError when the installation lacks it.
    """
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "config", parent / "share" / "vidpred_ros" / "config"):
            if (folder / name).is_file():
                return folder / name
    raise FileNotFoundError(f"vidpred_ros is installed without its config/{name}: install the package again")


def profile_in_use() -> str | None:
    """The Fast DDS profile file that a node of this process loads, or None for Fast DDS's defaults."""
    return os.environ.get(PROFILE_VARIABLE) or os.environ.get(OLD_PROFILE_VARIABLE)


def shared_memory_free() -> int:
    """Free bytes of shared memory; 64 MB in a container that was started without --shm-size."""
    return shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0


def profile_environment() -> dict[str, str]:
    """The environment variables that give a child process the package's profile; empty where they would do harm.

    That is when the user has chosen a profile, or when shared memory is too small for the segments.
    """
    if profile_in_use() or shared_memory_free() < NEEDED_SHARED_MEMORY:
        return {}
    return {PROFILE_VARIABLE: str(config_file("dds/fastdds.xml"))}


def keep_freed_memory() -> None:
    """Make malloc keep what is freed, up to 32 MB apiece, instead of returning it to the system.

    Each frame of 2.7 MB would otherwise be mapped and page-faulted anew: median latency 14.5 ms instead of 2.7 ms.
    Only glibc has the setting; elsewhere this does nothing.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _MALLOC_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def prepare() -> None:
    """Call before rclpy.init() in each process that sends or receives images."""
    keep_freed_memory()
    os.environ.update(profile_environment())
