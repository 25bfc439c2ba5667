"""A real graph of camera, predictor and collector, each a process, and what it sent: for `vidpred demo`."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.recording import Recording, label_topics, load_recording, with_loss
from vidpred_ros.nodes.graph import Child, Graph
from vidpred_ros.predictors import BASELINES, find_frame_model, make_predictor

#: Called with the seconds of camera time so far and the seconds in all; 0 while the nodes start.
Progress = Callable[[float, float], None]

_START_S = (
    300.0  # the first use of a model exports it, and a large network compiles for long on a slow computer
)
_SENDING = "sending the first frame"  # the camera's log says so
_HEARS = "the active predictor is heard"  # the collector's: from then on it misses no forecast
_DRAIN_S = 1.5  # the last window's forecast and the next report of /diagnostics
_SAVE_S = 300.0  # the collector compresses minutes of label maps at its end


def run_demo_graph(
    source: str,
    model: str,
    engine: str | None,
    steps: int,
    seconds: float,
    out: Path,
    progress: Progress = lambda done, total: None,
    topic: str | None = None,
    structure: Mapping[str, object] | None = None,
) -> Recording:
    """Play ``source`` once, for at most ``seconds``, through a real graph and return what the collector recorded.

    The recording is also in ``out``/recording, once it is whole, and the nodes' output in ``out``/log. ``summary["camera"]`` compares the
    stamps that the camera sent with those received, so a lost frame shows. ``structure``: with a structure lane, with these
    parameters of the predictor. Raises VidpredError for an unknown model, when a node cannot start or dies (with the last lines of
    its log), or when no forecast arrived.
    """
    camera = {"source": source, "topic": topic or "", "duration": float(seconds), "loop": False}
    size = make_predictor(model).size if model in BASELINES else find_frame_model(model).card.size
    recording = record_run(camera, model, engine, steps, seconds, out, progress, size, structure)
    if not len(recording.source_stamps_ns):
        report = recording.summary["diagnostics"].get("message", "it sent no diagnostics")
        raise VidpredError(f"no forecast arrived in {seconds:g} s; the predictor says: {report}")
    return recording


def record_run(
    camera: Mapping[str, object],
    model: str,
    engine: str | None,
    steps: int,
    seconds: float,
    out: Path,
    progress: Progress,
    size: tuple[int, int] | None,
    structure: Mapping[str, object] | None = None,
    cameras: Sequence[str] = (),
) -> Recording:
    """Run the graph until the camera (with these parameters) ends. Progress and errors are run_demo_graph's.

    ``size``: (height, width) of the futures, where images are recorded; None: they are not.
    The summary gets sent_stamps_ns, and what the predictor's process used: resident_mb {now, peak}, cpu_percent of a core.
    With ``cameras``, names, there are that many alike; then the summary has them under "cameras", each with sent_stamps_ns.
    """
    namespace = f"/vidpred_{os.getpid()}"
    with _in_place_of(out / "recording") as folder:
        sent_files = {name: folder / f"sent{name}.json" for name in cameras or ("",)}
        several = {"cameras": list(cameras)} if cameras else {}
        images = {_of(name, "image"): _of(name, "camera/image_raw") for name in sent_files}
        topics = ["future/info", *(f"future/step_{k}/image" for k in range(1, steps + 1))]
        lane = {} if structure is None else {"structure": True, **structure}
        if lane:
            topics += label_topics(steps)
        with Graph(namespace, out / "log") as graph:
            collector = {
                "out": str(folder),
                "steps": steps,
                "size": f"{size[1]}x{size[0]}" if size else "",
                "structure": structure is not None,
                "predictor": f"{namespace.lstrip('/')}/predictor",
                **several,
            }
            futures = {_of(name, topic): f"predictor/{_of(name, topic)}" for name in sent_files for topic in topics}
            listener = graph.start("collector", collector, {**images, **futures})
            predictor = graph.start(
                "predictor",
                {"model": model, "engine": engine or "auto", "steps": steps, "autostart": True, **lane, **several},
                images,
            )
            graph.wait_for_line(listener, _HEARS, _START_S)
            wait_for = 2 if size else 1
            senders = [
                graph.start("camera", {**camera, "wait_for_subscribers": wait_for, "sent_file": str(sent_file)}, {}, name)
                for name, sent_file in sent_files.items()
            ]
            progress(0.0, seconds)
            for sender in senders:
                graph.wait_for_line(sender, _SENDING, _START_S)
            resources = _watch(graph, senders, predictor, seconds, progress)
            time.sleep(_DRAIN_S)
            graph.check("camera")
            graph.stop("collector", _SAVE_S)
        sent = {name: json.loads(file.read_text())["stamps_ns"] for name, file in sent_files.items()}
        recording = load_recording(folder)
        if cameras:
            of_each = {name: {**one, "sent_stamps_ns": sent[name]} for name, one in recording.summary["cameras"].items()}
            summary = {**recording.summary, "cameras": of_each}
        else:
            summary = with_loss(recording.summary, sent[""], recording.camera_stamps_ns.tolist()) | {"sent_stamps_ns": sent[""]}
        recording = replace(recording, summary={**summary, **resources})
        recording.save(folder)
        return recording


@contextmanager
def _in_place_of(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``folder`` at the end; after an error ``folder`` is as it was."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    part.mkdir(parents=True)
    try:
        yield part
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _of(camera: str, topic: str) -> str:
    """The topic of one of several cameras, or of the only one, which has no name."""
    return f"{camera}/{topic}" if camera else topic


def _watch(
    graph: Graph, senders: Sequence[Child], predictor: Child, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Wait until every camera has sent its last frame. Returns what the predictor's process used meanwhile."""
    start, cpu = time.monotonic(), predictor.cpu_seconds()
    while any(sender.process.poll() is None for sender in senders):
        graph.check("camera")
        progress(min(time.monotonic() - start, seconds), seconds)
        time.sleep(0.1)
    graph.check("camera")
    progress(seconds, seconds)
    used = (predictor.cpu_seconds() - cpu) / (time.monotonic() - start)
    return {"resident_mb": predictor.resident_mb(), "cpu_percent": 100 * used}
