"""A streaming network's states between frames: what a pass wrote comes back one, two or four passes later.

Each state has a ring of slots, one more than its largest delay: pass t reads the slot that pass t - delay wrote and writes slot
t itself, so nothing is copied. What a slot holds is the engine's own business (bfloat16 as uint16, for one).

A frame on which no forecast is wanted costs less: its states need the bottom-up blocks and two lateral ones of three, and neither
the top-down blocks nor the head. That part is cut out of the exported graph, so that the states are the same. It makes up for
missed frames: a graph of the whole window that hands back the states in one pass was slower for up to four of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from vidpred_ros.engines.base import Arrays, Engine


class Stream(Protocol):
    """One stream of frames, or N in step, through an engine of kind "stream"; several may share one engine."""

    def push(self, arrays: Mapping[str, NDArray[Any]], present: NDArray[np.bool_] | None = None) -> Arrays:
        """One pass: the inputs that are no states in, the outputs that are none out.

        ``present`` (N,), for a batch of cameras: the states of those that are absent stay as they were, and their outputs mean
        nothing. Raises EngineError as ``infer`` does.
        """
        ...

    def advance(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """``push`` for the states alone: of a frame on which no forecast is wanted."""
        ...

    def clear(self, camera: int | None = None) -> None:
        """Forget all frames (of one camera). The zeros that stand in for them are gone from the states after 8 frames."""
        ...


def delays_of(metadata: Mapping[str, str]) -> dict[str, int]:
    """After how many passes each state comes back; empty for a graph that does not stream."""
    delays: dict[str, int] = json.loads(metadata.get("vidpred.delays", "{}"))
    return delays


def states_alone(path: Path) -> bytes:
    """The part of an exported streaming graph that makes its states, as ONNX: no forecast, and no input that only that needs."""
    proto = onnx.load(path)
    graph, wanted = proto.graph, set(delays_of({entry.key: entry.value for entry in proto.metadata_props}))
    outputs, nodes = [port for port in graph.output if port.name in wanted], []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    inputs, constants = ([one for one in field if one.name in wanted] for field in (graph.input, graph.initializer))
    del graph.node[:], graph.output[:], graph.input[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.output.extend(outputs)
    graph.input.extend(inputs)
    graph.initializer.extend(constants)
    return proto.SerializeToString()


class HostStream:
    """States in the computer's memory, for engines that run there.

    ``short``: an engine of the graph's ``states_alone``, with states of the same types; None: whole passes serve for those too.
    """

    def __init__(self, engine: Engine, short: Engine | None = None) -> None:
        self._engine, self._short, self._delays = engine, short or engine, delays_of(engine.metadata)
        self._slots = max(self._delays.values()) + 1
        ports = {name: f"past_{name}" for name in self._delays}
        self._rings = {
            name: [np.zeros(engine.inputs[port], engine.dtypes[port]) for _ in range(self._slots)] for name, port in ports.items()
        }
        self._pass = 0

    def push(self, arrays: Mapping[str, NDArray[Any]], present: NDArray[np.bool_] | None = None) -> Arrays:
        results = self._infer(self._engine, arrays)
        if present is not None:
            for camera in np.flatnonzero(~present):
                self._move_along(int(camera))
        self._pass += 1
        return {name: array for name, array in results.items() if name not in self._rings}

    def advance(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._infer(self._short, arrays)
        self._pass += 1

    def _infer(self, engine: Engine, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        past = {f"past_{name}": ring[(self._pass - self._delays[name]) % self._slots] for name, ring in self._rings.items()}
        into = {name: ring[self._pass % self._slots] for name, ring in self._rings.items()}
        return engine.infer({**arrays, **{port: array for port, array in past.items() if port in engine.inputs}}, into)

    def _move_along(self, camera: int) -> None:
        """What pass t - 1 left stands where pass t's would: for this camera there was no pass."""
        for ring in self._rings.values():
            rows = [slot[camera].copy() for slot in ring]
            for number, slot in enumerate(ring):
                slot[camera] = rows[number - 1]

    def clear(self, camera: int | None = None) -> None:
        for ring in self._rings.values():
            for slot in ring:
                slot[... if camera is None else camera] = 0
