"""Clips kept on disk: what costs much to make is made once and used again with other flips and light."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.datasets.frames import cache_folder


class Bank:
    """Named arrays by the number of their slot, in a folder of the cache. ``key`` is all that decides what they are."""

    def __init__(self, key: object) -> None:
        self._folder = cache_folder() / "clips" / hashlib.sha256(repr(key).encode()).hexdigest()[:24]

    def fetch(self, slot: int, make: Callable[[], dict[str, NDArray]]) -> dict[str, NDArray]:
        """The arrays in a slot; made by ``make`` and stored when they are not there yet, or not whole."""
        path = self._folder / f"{slot}.npz"
        try:
            with np.load(path) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            arrays = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]  # its stub takes them for the flag beside them
        part.replace(path)
        return arrays
