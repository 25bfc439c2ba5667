"""Runs of an engine by itself, as ``interleave`` wants them: inputs from a synthetic drive, states kept, time of the call only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred_ros.bench.interleave import Run
from vidpred_ros.engines.base import Arrays, Engine
from vidpred_ros.motion import DisFlow, gray
from vidpred_ros.networks.config import WINDOW
from vidpred_ros.sources import open_source

#: A turn lasts at least this long. What others drove out of the caches is fetched in its first call, which then does not count:
#: at 10 Hz on a car it would not be fetched anew each time either.
TURN_S = 0.1


@dataclass(frozen=True)
class Drive:
    """Some frames of the built-in drive at one size, and the flow of each back to the one before it."""

    frames: NDArray[np.uint8]  # T x H x W x 3
    flows: NDArray[np.float32]  # T x H x W x 2; the first one is 0
    grays: NDArray[np.uint8]  # T x H x W

    def inputs(self, frames: int, flows: int, newest: int) -> Arrays:
        """So many frames and flows that end with those of frame number ``newest`` (of an endless repetition)."""
        end = WINDOW + newest % (len(self.frames) - WINDOW + 1)
        return {"frames": self.frames[end - frames : end], "flows": self.flows[end - flows : end]}


def drive(size: tuple[int, int], length: int = 2 * WINDOW) -> Drive:
    """``size`` is (height, width)."""
    source = open_source(f"synthetic:seed=1,seconds={length / 10 + 1:g},rate=10,width={size[1]},height={size[0]}")
    frames = np.stack([frame.image for frame in islice(source, length)])
    grays = np.stack([gray(frame) for frame in frames])
    dis = DisFlow()
    flows = [np.zeros((*size, 2), np.float32), *(dis(grays[i], grays[i - 1]) for i in range(1, length))]
    return Drive(frames, np.stack(flows), grays)


def engine_run(engine: Engine, graph: str, seen: Drive, batch: int = 1) -> Run:
    """A turn of an engine; with ``batch`` > 1 every camera sees the same."""
    stream = engine.stream() if graph == "stream" else None
    frames, flows = (engine.inputs[port][-4] if port in engine.inputs else 0 for port in ("frames", "flows"))

    def prepare(newest: int) -> Arrays:
        given = seen.inputs(frames, flows, newest)
        return {
            name: np.stack([array] * batch) if batch > 1 else array for name, array in given.items() if name in engine.inputs
        }

    return repeated(prepare, engine.infer if stream is None else stream.push)


def flow_run(seen: Drive) -> Run:
    """A turn of the optical flow of one new frame."""
    dis = DisFlow()

    def flow(newest: int) -> None:
        now = 1 + newest % (len(seen.frames) - 1)
        dis(gray(seen.frames[now]), seen.grays[now - 1])

    return repeated(lambda newest: newest, flow)


def repeated(prepare: Callable[[int], Any], call: Callable[[Any], Any]) -> Run:
    """A turn: the call again and again for ``TURN_S``, the first one not counted if there is a second; {"call": median, ms}."""
    count = 0

    def run(_: object) -> Mapping[str, float]:
        nonlocal count
        seconds: list[float] = []
        while sum(seconds) < TURN_S:
            given = prepare(count)
            count += 1
            start = time.perf_counter()
            call(given)
            seconds.append(time.perf_counter() - start)
        return {"call": 1e3 * float(np.median(seconds[1:] or seconds))}

    return run
