"""Which reader a text in data.train or data.validate_on means.

    kitti_raw:FOLDER  caltech:FOLDER  cityscapes:FOLDER  ucf101:FOLDER  bair:FOLDER    a data set as it is downloaded
    FOLDER  drive.mcap  video.mp4  synthetic:seed=1,seconds=20                         any SOURCE of the command line

Options follow a question mark: "drive.mcap?topic=/camera/image_raw", "kitti_raw:FOLDER?camera=image_03&split=test".
"""

from __future__ import annotations

import logging
import os
import string
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from training.datasets import bair, caltech, cityscapes, kitti_raw, ucf101
from training.datasets.instances import drawn_instances
from training.datasets.recording import LabelMaps, Recording, drawn_labels, label_maps
from vidpred_ros.errors import ConfigError, SourceError
from vidpred_ros.sources import Source, open_source
from vidpred_ros.sources.folder import FolderSource, labels_alone

#: Reader and its own options of each data set; "split" goes with all of them.
READERS: dict[str, tuple[Callable[..., list[Recording]], tuple[str, ...]]] = {
    "kitti_raw": (kitti_raw.recordings, ("camera",)),
    "caltech": (caltech.recordings, ()),
    "cityscapes": (cityscapes.recordings, ()),
    "ucf101": (ucf101.recordings, ("list", "every")),
    "bair": (bair.recordings, ()),
}
SPLITS = ("train", "val", "test")

log = logging.getLogger(__name__)


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


def find_labelled(text: str, split: str) -> list[tuple[Recording | None, LabelMaps]]:
    """The recordings that a text names and that have label maps, with these; None for a folder of label maps alone.

    Raises what ``find_recordings`` raises, and SourceError when none of them has label maps.
    """
    text = expand(text)
    place, _, query = text.partition("?")
    path = Path(place).expanduser()
    if path.is_dir() and (alone := labels_alone(path)) is not None:
        files, rate_hz = alone
        options = _options(text, query)
        _only(text, options, ("rate",))
        return [(None, label_maps(files, text, _rate(text, options) or rate_hz))]
    found = [_with_labels(text, recording) for recording in find_recordings(text, split)]
    labelled: list[tuple[Recording | None, LabelMaps]] = [(recording, recording.labels) for recording in found if recording.labels is not None]
    if not labelled:
        raise SourceError(
            f"{text} has no label maps: label maps come with sequence folders (labels/ or labels_pseudo/ beside frames/), "
            "Cityscapes with gtFine, and synthetic drives; make them for other data: vidpred label"
        )
    if len(labelled) < len(found):
        log.warning("%s: training on the %d of %d recordings that have label maps", text, len(labelled), len(found))
    return labelled


def _with_labels(text: str, recording: Recording) -> Recording:
    """A SOURCE's recording with what the source knows of label maps; those of data sets know their own."""
    if text.startswith("synthetic:"):
        return replace(recording, labels=replace(drawn_labels(recording), instances=drawn_instances(recording)))
    if recording.labels is None and Path(text.partition("?")[0]).expanduser().is_dir():
        source = recording.source()
        if isinstance(source, FolderSource) and source.label_files is not None:
            return replace(recording, labels=label_maps(source.label_files, recording.name, source.rate_hz))
    return recording


def _source(text: str, place: str, query: str, options: dict[str, str]) -> Recording:
    opener = partial(open_source, place, topic=options.get("topic"), rate_hz=_rate(text, options))
    path = Path(place).expanduser()
    if place.startswith("synthetic:") or not path.exists():
        opener()  # says what is wrong with it
        return Recording(text, partial(_drive, place), ())
    # frames/ may be a link (`vidpred label`), which rglob does not follow
    inside = (Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names)
    files = sorted(inside) if path.is_dir() else [path]
    return Recording(text, opener, tuple(files), options=query)


@lru_cache(maxsize=1)
def _drive(text: str) -> Source:
    """A synthetic drive. The last one is kept: its street is built once for its frames, its label maps and its instances."""
    return open_source(text)


def _rate(text: str, options: dict[str, str]) -> float | None:
    try:
        return float(options["rate"]) if "rate" in options else None
    except ValueError:
        raise ConfigError(f"{text}: rate={options['rate']} is no number of Hz") from None


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
