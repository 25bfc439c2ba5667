"""Clips kept on disk: what costs much to make is made once and used again with other flips and light."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.datasets.frames import cache_folder
from vidpred_ros.errors import SourceError

#: Part of the key of every clip: a change of how clips are made of the same frames counts it up.
VERSION = 2


class Bank:
    """Named arrays by the number of their slot, in a folder of the cache. ``key`` is all that decides what they are."""

    def __init__(self, key: object) -> None:
        self._folder = cache_folder() / "clips" / hashlib.sha256(repr((VERSION, key)).encode()).hexdigest()[:24]

    def fetch(self, slot: int, make: Callable[[], dict[str, NDArray]]) -> dict[str, NDArray]:
        """The arrays in a slot; made by ``make`` and stored when they are not there yet, or not whole.

        Raises SourceError when they cannot be stored.
        """
        path = self._folder / f"{slot}.npz"
        try:
            with np.load(path) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            arrays = make()
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as handle:
                np.savez(handle, **arrays)  # type: ignore[arg-type]  # its stub takes them for the flag beside them
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            needed = sum(array.nbytes for array in arrays.values()) / 1e6
            raise SourceError(
                f"a clip of {needed:.1f} MB cannot be kept in {path.parent} ({error.strerror}): data.bank is how many are kept, "
                "VIDPRED_CACHE moves the cache to another disk"
            ) from None
        return arrays
