"""A real graph of camera, predictor and collector, each a process, and what it sent: for `vidpred demo`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidpred_ros.errors import VidpredError
from vidpred_ros.evaluation.recording import Recording, label_topics, load_recording, with_loss
from vidpred_ros.nodes.graph import Child, Graph

#: Called with the seconds of camera time so far and the seconds in all; 0 while the nodes start.
Progress = Callable[[float, float], None]

_START_S = (
    300.0  # the first use of a model exports it, and a large network compiles for long on a slow computer
)
_SENDING = "sending the first frame"  # the camera's log says so
_LISTENING = "recording into"  # the collector's
_DRAIN_S = 1.5  # the last window's forecast and the next report of /diagnostics


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

    The recording is also in ``out``/recording, the nodes' output in ``out``/log. ``summary["camera"]`` compares the
    stamps that the camera sent with those received, so a lost frame shows. ``structure``: with a structure lane, with these
    parameters of the predictor. Raises VidpredError (with the last lines of its
    log) when a node cannot start or dies, or when no forecast arrived.
    """
    camera = {"source": source, "topic": topic or "", "duration": float(seconds), "loop": False}
    recording = record_run(camera, model, engine, steps, seconds, out, progress, True, structure)
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
    record_images: bool,
    structure: Mapping[str, object] | None = None,
) -> Recording:
    """Run the graph until the camera (with these parameters) ends. Progress and errors are run_demo_graph's.

    The summary gets sent_stamps_ns, and what the predictor's process used: resident_mb {now, peak}, cpu_percent of a core.
    """
    namespace = f"/vidpred_{os.getpid()}"
    folder, sent_file = out / "recording", out / "recording" / "sent.json"
    folder.mkdir(parents=True, exist_ok=True)
    topics = ["future/info", *(f"future/step_{k}/image" for k in range(1, steps + 1))]
    lane = {} if structure is None else {"structure": True, **structure}
    if lane:
        topics += label_topics(steps)
    with Graph(namespace, out / "log") as graph:
        collector = {
            "out": str(folder),
            "steps": steps,
            "record_images": record_images,
            "structure": structure is not None,
            "predictor": f"{namespace.lstrip('/')}/predictor",
        }
        futures = {name: f"predictor/{name}" for name in topics}
        listener = graph.start("collector", collector, {"image": "camera/image_raw", **futures})
        predictor = graph.start(
            "predictor",
            {"model": model, "engine": engine or "auto", "steps": steps, "autostart": True, **lane},
            {"image": "camera/image_raw"},
        )
        graph.wait_for_line(listener, _LISTENING, _START_S)
        wait_for = 2 if record_images else 1
        sender = graph.start(
            "camera", {**camera, "wait_for_subscribers": wait_for, "sent_file": str(sent_file)}, {}
        )
        progress(0.0, seconds)
        graph.wait_for_line(sender, _SENDING, _START_S)
        resources = _watch(graph, sender, predictor, seconds, progress)
        time.sleep(_DRAIN_S)
        graph.check("camera")
        graph.stop("collector")
    sent = json.loads(sent_file.read_text())["stamps_ns"]
    recording = load_recording(folder)
    summary = with_loss(recording.summary, sent, recording.camera_stamps_ns.tolist())
    recording = replace(recording, summary={**summary, "sent_stamps_ns": sent, **resources})
    recording.save(folder)
    return recording


def _watch(
    graph: Graph, sender: Child, predictor: Child, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Wait until the camera has sent its last frame. Returns what the predictor's process used meanwhile."""
    start, cpu = time.monotonic(), predictor.cpu_seconds()
    while sender.process.poll() is None:
        graph.check("camera")
        progress(min(time.monotonic() - start, seconds), seconds)
        time.sleep(0.1)
    graph.check("camera")
    progress(seconds, seconds)
    used = (predictor.cpu_seconds() - cpu) / (time.monotonic() - start)
    return {"resident_mb": predictor.resident_mb(), "cpu_percent": 100 * used}
