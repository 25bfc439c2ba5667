"""Where frames come from: `open_source("drive.mcap", topic="/camera/image_raw")`."""

from __future__ import annotations

from pathlib import Path

from vidpred_ros.errors import SourceError
from vidpred_ros.sources.base import Source, SourceFrame

__all__ = ["Source", "SourceFrame", "open_source"]

FORMS = """SOURCE is one of
  a rosbag2 folder, or a .mcap or .db3 file (with --topic when it has several image topics)
  a video file (.mp4, .mkv, .avi ...)
  a folder of images, or a sequence folder with frames/ and meta.json
  synthetic:seed=1,seconds=20"""


def open_source(text: str, topic: str | None = None, rate_hz: float | None = None) -> Source:
    """Open SOURCE as it is written on the command line. The readers' libraries are imported only when they are used.

    ``topic`` is for bags only. ``rate_hz`` is for folders of images, whose files carry no time: it goes before the fps
    of a meta.json, and is 10 where there is neither. Raises SourceError for what cannot be opened.
    """
    path = Path(text).expanduser()
    is_folder = path.is_dir()
    is_bag = (path / "metadata.yaml").exists() or (not is_folder and path.suffix in (".mcap", ".db3"))
    if topic is not None and not is_bag:
        raise SourceError(f"--topic {topic} is given, but {text} is not a bag and has no topics")
    if rate_hz is not None and (not is_folder or is_bag):
        raise SourceError(f"a rate of {rate_hz:g} Hz is given, but {text} is no image folder and has its own stamps")

    if text.startswith("synthetic:"):
        from vidpred_ros.sources.synthetic import SyntheticDrive

        return SyntheticDrive.parse(text)
    if not path.exists():
        raise SourceError(f"{text} does not exist. {FORMS}")
    if is_bag:
        from vidpred_ros.sources.rosbag import RosbagSource

        return RosbagSource(path, text, topic)
    if is_folder:
        from vidpred_ros.sources.folder import FolderSource

        return FolderSource(path, text, rate_hz)
    from vidpred_ros.sources.video import VideoSource

    return VideoSource(path, text)
