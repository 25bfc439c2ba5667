"""Who takes part in a table and on what: models by name, folder, checkpoint or recipe; sequences by SOURCE or folder."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vidpred_ros.engines.base import cache_folder
from vidpred_ros.errors import ConfigError, ModelError, SourceError
from vidpred_ros.evaluation.datasets import is_data_set, open_data_set
from vidpred_ros.models import CARD, ModelCard, find_model
from vidpred_ros.sources import Source, open_source
from vidpred_ros.sources.folder import IMAGE_SUFFIXES

#: Checkpoints of a run, the one that is taken first.
CHECKPOINTS = ("best.pt", "last.pt")
SPLITS = "splits.json"


@dataclass(frozen=True)
class Entry:
    """A model of the table."""

    row: str  # its name there
    folder: Path
    card: ModelCard


def find_entry(text: str, runs: Path) -> Entry:
    """A released model (its name or folder), a checkpoint (*.pt), a run's folder, or a recipe whose run lies in ``runs``.

    Raises ModelError where it is none of these.
    """
    path = Path(text)
    if path.suffix == ".pt":
        return _from_checkpoint(path, path.resolve().parent.name if path.name in CHECKPOINTS else path.stem)
    if checkpoint := _checkpoint_in(path):
        return _from_checkpoint(checkpoint, path.resolve().name)
    try:
        model = find_model(text)
    except ModelError as error:
        if checkpoint := _checkpoint_in(runs / text):
            return _from_checkpoint(checkpoint, text)
        raise ModelError(f"{error}; nor a run: {runs / text} holds no {' or '.join(CHECKPOINTS)}") from None
    return Entry(model.id, model.folder, model.card)


def _checkpoint_in(run: Path) -> Path | None:
    return next((run / name for name in CHECKPOINTS if (run / name).is_file()), None)


def _from_checkpoint(checkpoint: Path, name: str) -> Entry:
    """Release a checkpoint into the cache, once, and take that: what is measured is what a user of the model would run."""
    if not checkpoint.is_file():
        raise ModelError(f"{checkpoint} does not exist")
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    folder = cache_folder().parent / "released" / digest[:16] / name.lower()
    if not (folder / CARD).is_file():
        # in a process of its own: it needs torch, which nothing here does
        command = [sys.executable, "-m", "vidpred_ros.cli", "export", str(checkpoint), "--out", str(folder)]
        command += ["--licence", "measured from a checkpoint, not released"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            tail = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise ModelError(f"{checkpoint} cannot be exported: {' '.join(tail).removeprefix('vidpred: ')}")
    model = find_model(str(folder))
    return Entry(name, model.folder, model.card)


def find_sequences(texts: list[str], split: str | None = None) -> tuple[dict[str, Source], dict[str, str]]:
    """The sources behind --data, by a short name, and those of a folder that hold no frames, with the reason.

    Each text is a SOURCE, a data set as downloaded ("caltech:FOLDER") or a folder of sequences; of such a folder,
    ``split`` takes the names that its splits.json has under that key. Raises SourceError for a SOURCE that cannot be
    opened, ConfigError for an unknown split.
    """
    found: dict[str, Source] = {}
    left_out: dict[str, str] = {}
    folders = [text for text in texts if _holds_sequences(Path(text))]
    if split is not None and not folders:
        raise ConfigError(f"--split {split} is for a folder of sequences with a {SPLITS}; --data is none")
    for text in texts:
        if is_data_set(text):
            for name, recording in open_data_set(text).items():
                found[recording.name if name in found else name] = recording
            continue
        if text not in folders:
            _add(found, open_source(text))
            continue
        for path in _members(Path(text), split):
            try:
                _add(found, open_source(str(path)))
            except SourceError as error:
                left_out[path.name] = str(error)
    if not found:
        raise SourceError(f"--data {' '.join(texts)} holds no sequence that can be read")
    return found, left_out


def _holds_sequences(path: Path) -> bool:
    if not path.is_dir() or (path / "frames").is_dir() or (path / "metadata.yaml").is_file():
        return False
    if any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
        return False
    return (path / SPLITS).is_file() or any(child.is_dir() for child in path.iterdir())


def _members(folder: Path, split: str | None) -> list[Path]:
    if split is None:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    try:
        splits = json.loads((folder / SPLITS).read_text())
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(f"--split {split}: {folder / SPLITS} cannot be read: {error}") from None
    if split not in splits:
        raise ConfigError(f"--split {split}: {folder / SPLITS} has {', '.join(splits)}")
    return [folder / name for name in splits[split]]


def _add(found: dict[str, Source], source: Source) -> None:
    short = Path(source.name).name or source.name
    found[source.name if short in found else short] = source
