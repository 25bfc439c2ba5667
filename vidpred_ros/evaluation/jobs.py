"""One cell of a table: one model on one sequence. ``attempt`` runs in whichever process or machine has room for it."""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import cv2

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation import host
from vidpred_ros.evaluation.datasets import open_sequence
from vidpred_ros.evaluation.methods import Method, best_of, predicted
from vidpred_ros.evaluation.protocol import LOCKSTEP, Subject, latency_summary, protocol
from vidpred_ros.evaluation.scores import Score, horizons, measure
from vidpred_ros.evaluation.trials import NoWindowError, replay
from vidpred_ros.metrics import DEFINITIONS, FrameMetrics
from vidpred_ros.models import ModelCard, find_model
from vidpred_ros.predictors import make_predictor

#: Raise it when the same job would give other numbers than before: kept results are then measured again.
RESULT_VERSION = 1


@dataclass(frozen=True)
class Job:
    """What is measured, in words that any process understands."""

    row: str  # name of the model in the table
    model: str  # what make_predictor takes: a folder, a released name or a baseline
    weights_sha256: str | None  # None for a baseline
    size: tuple[int, int]  # (height, width) and period: a baseline takes them, a model brings its own
    period_s: float
    source: str
    data_sha256: str
    frames: int  # of the source, for the progress bar
    engine: str | None
    steps: int
    samples: int = 0  # 0 for a model that draws none
    seed: int = 0
    settings: str = ""  # ``settings_of`` the model; "" for a baseline

    @property
    def definitions(self) -> Mapping[str, str]:
        """What is measured, in words: other words are other numbers."""
        return DEFINITIONS

    def run(self, command: str) -> dict[str, Any]:
        """The result; see ``run_job``."""
        return run_job(self, command)

    @property
    def key(self) -> str:
        """sha256 (hex) of all that decides the numbers: weights, settings, data and protocol."""
        decides = asdict(self)
        for name in ("row", "source", "frames"):
            del decides[name]
        if self.weights_sha256 is not None:
            del decides["model"]  # the weights say more than where they lie
        if not self.samples:
            del decides["seed"]  # nothing is drawn
        decides |= {"metrics": self.definitions, "version": RESULT_VERSION}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def file(self) -> str:
        """Name of the kept result."""
        words = f"{self.row}-{Path(self.source).name or self.source}"
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in words)
        return f"{safe}-{self.key[:12]}.json"


def settings_of(card: ModelCard) -> str:
    """What decides a model's output beside its weights: its network's settings, and the frame predictor that moves its label maps.

    Raises ModelError where that one is not there.
    """
    motion = getattr(card.network, "motion_model", None)
    if motion is None:
        return card.network.model_dump_json()
    other = find_model(motion).card
    return f"{card.network.model_dump_json()} {other.weights_sha256} {other.network.model_dump_json()}"


def run_job(job: Job, command: str = "") -> dict[str, Any]:
    """The result: metrics.json's content for this model alone, and ``scores`` of every window.

    A sequence without a single window gives {"key", "left_out": why}. Raises VidpredError where the model or the source
    cannot be used.
    """
    cv2.setNumThreads(1)
    source = open_sequence(job.source)
    predictor = make_predictor(job.model, job.engine, job.steps, job.size, job.period_s)
    try:
        methods: dict[str, Method] = {"predictor": predicted}
        if job.samples:
            methods |= best_of(predictor, job.samples, job.seed)
        metrics = FrameMetrics()
        try:
            measured = measure(replay(source, predictor), methods, metrics)
        except NoWindowError as error:
            return {"key": job.key, "left_out": str(error)}
        subject = Subject.of(source, predictor)
    finally:
        predictor.close()
    drawn = {"samples": job.samples, "seed": job.seed} if job.samples else {}
    return {
        "key": job.key,
        "source": source.name,
        "model": job.row,
        "engine": subject.engine,
        "weights_sha256": job.weights_sha256,
        "protocol": protocol(subject, measured, LOCKSTEP, command, drawn),
        "data_sha256": job.data_sha256,
        "frames": len(source),
        "horizons": horizons(measured.scores, measured.period_s, metrics.reasons),
        "latency_ms": latency_summary(measured.latencies_ms),
        "host": host.describe(),
        "scores": {
            "columns": [field.name for field in fields(Score)],
            "rows": [list(astuple(score)) for score in measured.scores],
        },
    }


def attempt(job: Job, command: str = "") -> dict[str, Any]:
    """The job's result, or {"error": what went wrong}: one failure must not end the others, wherever they run."""
    try:
        return job.run(command)
    except VidpredError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this job's and is reported as its result
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def scores_of(result: Mapping[str, Any]) -> list[Score]:
    """The scores of every window of a result."""
    columns = result["scores"]["columns"]
    return [Score(**dict(zip(columns, row, strict=True))) for row in result["scores"]["rows"]]


def kept(job: Job, folder: Path) -> dict[str, Any] | None:
    """The result of this very job from an earlier run, if there is one."""
    try:
        result = json.loads((folder / job.file).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("key") == job.key else None


def keep(job: Job, result: Mapping[str, Any], folder: Path) -> None:
    """Store a result, all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{job.file}.{os.getpid()}.part"
    part.write_text(json.dumps(result, allow_nan=False) + "\n")
    part.replace(folder / job.file)
