"""Jobs that the tests give to worker processes; here, because a worker has to be able to import them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidpred_ros.evaluation.jobs import Job

SIZE = (32, 40)
FRAMES = 12


def write_drive(folder: Path, seed: int = 0) -> Path:
    """A sequence folder of a texture that slides to the left by two pixels a frame, at 10 Hz."""
    coarse = np.random.default_rng(seed).integers(0, 256, (SIZE[0] // 4, 24, 3), np.uint8)
    panorama = cv2.resize(coarse, (96, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    (folder / "frames").mkdir(parents=True)
    for i in range(FRAMES):
        cv2.imwrite(str(folder / "frames" / f"{i:02d}.png"), panorama[:, 2 * i : 2 * i + SIZE[1]])
    return folder


def copy_job(folder: Path) -> Job:
    """Copying the last frame on a drive, one step."""
    return Job("copy_last", "copy_last", None, SIZE, 0.1, str(folder), "d" * 64, FRAMES, None, 1)


@dataclass(frozen=True)
class Deadly(Job):
    """Ends the process that unpickles it, as a crash in a library would."""

    def __setstate__(self, state: object) -> None:
        os._exit(1)


def deadly(job: Job) -> Deadly:
    return Deadly(**{**vars(job), "row": "deadly"})
