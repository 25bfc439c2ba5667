"""Writes small videos with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

#: H.264 is lossy and has B frames; the others are lossless.
CODECS = {".mp4": ("libx264", "yuv420p"), ".mkv": ("ffv1", "bgr0"), ".avi": ("png", "rgb24")}


def write_video(path: Path, frames: Sequence[np.ndarray], stamps_ms: Sequence[int]) -> Path:
    """HxWx3 RGB uint8 frames at their presentation times, in a codec that goes with the container of the name."""
    codec, pixels = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for image, stamp in zip(frames, stamps_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
