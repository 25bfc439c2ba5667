"""From names to a table: who takes part, what is known already, what has to be measured, and the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidpred_ros.errors import ConfigError, VidpredError
from vidpred_ros.evaluation.entries import Entry, find_entry, find_sequences
from vidpred_ros.evaluation.jobs import Job, keep, kept, settings_of
from vidpred_ros.evaluation.label_jobs import LabelJob, LabelSettings
from vidpred_ros.evaluation.label_table import make_label_table
from vidpred_ros.evaluation.label_table_files import write_label_table
from vidpred_ros.evaluation.lanes import SAMPLES
from vidpred_ros.evaluation.table import Table, make_table
from vidpred_ros.evaluation.table_files import write_table
from vidpred_ros.evaluation.workers import in_processes, on_ray
from vidpred_ros.networks.config import STRUCTURE_KINDS
from vidpred_ros.predictors import BASELINES
from vidpred_ros.sources import Source

#: Size and period of the baselines where no model says otherwise.
GEOMETRY = ((128, 160), 0.1)
#: In the list of failures: a model that could not even be found has failed everywhere.
EVERYWHERE = "all sequences"


def run_table(
    models: Sequence[str],
    data: Sequence[str],
    split: str | None,
    out: Path,
    *,
    steps: int,
    engine: str | None,
    samples: int,
    seed: int,
    runs: Path,
    workers: int,
    ray: str | None,
    command: str,
    show: Callable[[int, int, str], None],
    labels: LabelSettings | None = None,
) -> Table:
    """Measure what is not known yet, write the table into ``out`` and return it.

    Models of label maps make a table of label maps (``label_table``), measured as ``labels`` says; they and models of frames
    do not stand in one table.

    ``show`` gets the frames that are done, those that there are, and what was done last. Raises VidpredError where there
    is nothing to make a table of.
    """
    sources, left_out = find_sequences(list(data), split)
    failed: dict[tuple[str, str], str] = {}
    entries = _entries(models, runs, failed)
    of_labels = labels is not None and any(_of_labels(entry) for entry in entries)
    if labels is not None and of_labels:
        jobs = _label_jobs(entries, sources, engine, steps, samples, labels)
    else:
        jobs = _jobs(entries, sources, engine, steps, samples, seed)
    results, errors = _measure(jobs, out / "results", workers, ray, command, show)
    failed |= errors
    rows = list(dict.fromkeys([*([] if of_labels else BASELINES), *(entry.row for entry in entries)]))
    make = make_label_table if of_labels else make_table
    table = make(rows, list(sources), results, failed, left_out, steps, command)
    if not table.rows:
        why = [*(f"{m} on {s}: {e}" for (m, s), e in failed.items()), *table.left_out.values()]
        raise VidpredError(f"nothing could be measured: {'; '.join(why)}")
    cards = {entry.row: entry.card for entry in entries}
    (write_label_table if of_labels else write_table)(table, cards, out)
    return table


def _of_labels(entry: Entry) -> bool:
    return entry.card.network.kind in STRUCTURE_KINDS


def _entries(models: Sequence[str], runs: Path, failed: dict[tuple[str, str], str]) -> list[Entry]:
    """The models that can be used, each under a name of its own; the others go into ``failed``."""
    entries: list[Entry] = []
    for text in dict.fromkeys(models):
        if text in BASELINES:
            continue  # always there
        try:
            entry = find_entry(text, runs)
            _check(entry, entries)
        except VidpredError as error:
            failed[text, EVERYWHERE] = str(error)
        else:
            entries.append(entry)
    return entries


def _check(entry: Entry, others: Sequence[Entry]) -> None:
    """Raise ConfigError for an entry that cannot stand in one table with the others."""
    if entry.row in [*BASELINES, *(other.row for other in others)]:
        raise ConfigError(f"the table has a row {entry.row} already ({entry.folder}); give one of them another name")
    for first in others[:1]:
        if _of_labels(entry) != _of_labels(first):
            raise ConfigError(f"{entry.row} and {first.row}: frames and label maps do not go into one table")
        if (entry.card.size, entry.card.period) != (first.card.size, first.card.period):
            raise ConfigError(
                f"{_geometry(entry)} cannot be compared with {_geometry(first)} of {first.row}: give it a table of its own"
            )


def _geometry(entry: Entry) -> str:
    height, width = entry.card.size
    return f"{width}x{height} every {entry.card.period:g} s"


def _jobs(
    entries: Sequence[Entry], sources: dict[str, Source], engine: str | None, steps: int, samples: int, seed: int
) -> dict[Job, str]:
    """What there is to measure, with the short name of its sequence, the longest first."""
    size, period_s = (entries[0].card.size, entries[0].card.period) if entries else GEOMETRY
    jobs: dict[Job, str] = {}
    for name, source in sources.items():
        data = source.fingerprint()
        for baseline in BASELINES:
            jobs[Job(baseline, baseline, None, size, period_s, source.name, data, len(source), None, steps)] = name
        for entry in entries:
            card, folder = entry.card, str(entry.folder.resolve())
            job = Job(entry.row, folder, card.weights_sha256, size, period_s, source.name, data, len(source), engine, steps)
            job = replace(job, settings=settings_of(card))
            jobs[replace(job, samples=samples, seed=seed) if card.network.noise_channels else job] = name
    return dict(sorted(jobs.items(), key=lambda item: -item[0].frames))


def _label_jobs(
    entries: Sequence[Entry],
    sources: dict[str, Source],
    engine: str | None,
    steps: int,
    samples: int,
    labels: LabelSettings,
) -> dict[Job, str]:
    """As ``_jobs``; the baselines and the segmenter are part of every job, and the best is of the forecast's own draws."""
    eyes = labels.segmenter_sha256()
    jobs: dict[Job, str] = {}
    for name, source in sources.items():
        data = source.fingerprint()
        for entry in entries:
            card, period = entry.card, labels.period_s or entry.card.period
            what = (entry.row, str(entry.folder.resolve()), card.weights_sha256, card.size, period, source.name, data, len(source))
            draws = min(samples, SAMPLES) if card.network.noise_channels else 0
            job = LabelJob(*what, engine, steps, draws, 0, settings_of(card), labels.segmenter, eyes, labels.class_table, labels.context)
            jobs[job] = name
    return dict(sorted(jobs.items(), key=lambda item: -item[0].frames))


def _measure(
    jobs: Mapping[Job, str],
    folder: Path,
    workers: int,
    ray: str | None,
    command: str,
    show: Callable[[int, int, str], None],
) -> tuple[dict[tuple[str, str], dict[str, Any]], dict[tuple[str, str], str]]:
    """Results and errors by (row, sequence). A result is kept the moment that it is there."""
    results: dict[tuple[str, str], dict[str, Any]] = {}
    errors: dict[tuple[str, str], str] = {}
    todo: list[Job] = []
    for job, name in jobs.items():
        if (known := kept(job, folder)) is not None:
            results[job.row, name] = known
        else:
            todo.append(job)
    total = sum(job.frames for job in jobs)
    done = total - sum(job.frames for job in todo)
    show(done, total, f"{len(jobs) - len(todo)} of {len(jobs)} known" if len(todo) < len(jobs) else "measuring")
    spread = on_ray(todo, ray, command) if ray else in_processes(todo, min(workers, max(1, len(todo))), command)
    for job, result in spread if todo else ():
        name = jobs[job]
        if "error" in result:
            errors[job.row, name] = result["error"]
        else:
            results[job.row, name] = result
            keep(job, result, folder)
        done += job.frames
        show(done, total, f"{job.row} on {name}")
    return results, errors
