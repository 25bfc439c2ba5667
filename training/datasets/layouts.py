"""Which reader a text in data.train or data.validate_on means.

    kitti_raw:FOLDER  caltech:FOLDER  cityscapes:FOLDER  ucf101:FOLDER  bair:FOLDER    a data set as it is downloaded
    FOLDER  drive.mcap  video.mp4  synthetic:seed=1,seconds=20                         any SOURCE of the command line

Options follow a question mark: "drive.mcap?topic=/camera/image_raw", "kitti_raw:FOLDER?camera=image_03&split=test".
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from functools import partial
from pathlib import Path

from training.datasets import bair, caltech, cityscapes, kitti_raw, ucf101
from training.datasets.recording import Recording
from vidpred_ros.errors import ConfigError
from vidpred_ros.sources import open_source

#: Reader and its own options of each data set; "split" goes with all of them.
READERS: dict[str, tuple[Callable[..., list[Recording]], tuple[str, ...]]] = {
    "kitti_raw": (kitti_raw.recordings, ("camera",)),
    "caltech": (caltech.recordings, ()),
    "cityscapes": (cityscapes.recordings, ()),
    "ucf101": (ucf101.recordings, ("list", "every")),
    "bair": (bair.recordings, ()),
}
SPLITS = ("train", "val", "test")


def expand(text: str) -> str:
    """Fill in $NAME from the environment. Raises ConfigError for a name that is not set."""
    try:
        return string.Template(text).substitute(os.environ)
    except KeyError as error:
        raise ConfigError(f"{text}: set the environment variable {error} to the folder of the data") from None
    except ValueError:
        raise ConfigError(f"{text}: a $ stands before a variable's name; write $$ for the sign itself") from None


def find_recordings(text: str, split: str) -> list[Recording]:
    """The recordings that a text names. ``split`` is for data sets; "?split=" goes before it.

    Raises ConfigError for an unknown option and SourceError for data that are missing, partial or of another layout.
    """
    text = expand(text)
    place, _, query = text.partition("?")
    options = _options(text, query)
    name, colon, folder = place.partition(":")
    if colon and name in READERS:
        reader, known = READERS[name]
        _only(text, options, ("split", *known))
        split = options.pop("split", split)
        if split not in SPLITS:
            raise ConfigError(f"{text}: split={split}; it is one of {', '.join(SPLITS)}")
        return reader(Path(folder).expanduser(), split, **options)
    _only(text, options, ("topic", "rate"))
    return [_source(text, place, query, options)]


def _source(text: str, place: str, query: str, options: dict[str, str]) -> Recording:
    try:
        rate = float(options["rate"]) if "rate" in options else None
    except ValueError:
        raise ConfigError(f"{text}: rate={options['rate']} is no number of Hz") from None
    opener = partial(open_source, place, topic=options.get("topic"), rate_hz=rate)
    path = Path(place).expanduser()
    if place.startswith("synthetic:") or not path.exists():
        opener()  # says what is wrong with it
        return Recording(text, opener, ())
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    return Recording(text, opener, tuple(files), options=query)


def _options(text: str, query: str) -> dict[str, str]:
    options = {}
    for part in query.split("&") if query else []:
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise ConfigError(f"{text}: after the question mark come options as key=value, with & between them")
        options[key] = value
    return options


def _only(text: str, options: dict[str, str], known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"{text}: no option {', '.join(unknown)}; there are: {', '.join(known)}")
