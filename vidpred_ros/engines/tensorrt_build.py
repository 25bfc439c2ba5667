"""From an ONNX file to a TensorRT engine ("plan"), on TensorRT 10.3 and newer, 11 and TensorRT for RTX.

All three have one Python API as far as it is used here (https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/):
precision is written in the graph, and the flag that asks TensorRT 10 to keep to it is ignored by the others. ``builder_flags`` is the one
place where they differ. Building needs no CUDA calls of ours: TensorRT for RTX does it without a GPU and compiles its kernels
where the plan is loaded, TensorRT needs the GPU on which the plan is to run.
"""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from vidpred_ros.engines.base import Progress
from vidpred_ros.engines.choice import GPU_ENGINES
from vidpred_ros.errors import EngineError

log = logging.getLogger(__name__)
#: The TensorRT of JetPack 6.1; 10.0 lacks the calls by which execution contexts share their memory.
OLDEST = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 2)}

#: A new value of this makes every plan stale: for a change of what is done here to a file before it is built.
BUILD_VERSION = 1
#: Of grid sampling: opset 20's names, and those before.
OLD_MODES = {b"linear": b"bilinear", b"cubic": b"bicubic"}


@dataclass(frozen=True)
class Library:
    """An installed TensorRT."""

    name: str  # "tensorrt" or "tensorrt_rtx"
    version: str
    module: Any

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def find_library(name: str) -> Library:
    """The installed TensorRT of that name. Raises EngineError that says what is missing, broken or too old."""
    reasons = []
    for module_name in GPU_ENGINES[name][0]:
        try:
            module = importlib.import_module(module_name)
        except (ImportError, OSError, RuntimeError) as error:  # OSError: a shared library that it needs is not there
            reasons.append(f"{module_name}: {error}")
            continue
        version = str(module.__version__)
        if tuple(int(number) for number in version.split(".")[:2]) < OLDEST[name]:
            oldest = ".".join(map(str, OLDEST[name]))
            raise EngineError(f"{name} {version} is too old: {oldest} or newer is needed")
        return Library(name, version, module)
    raise EngineError(f"{name} is not installed or broken ({'; '.join(reasons)})")


def builder_flags(library: Library) -> tuple[str, ...]:
    """Flags of the builder that are set. TF32, which is on by default, is cleared: float32 means float32."""
    # without it TensorRT for RTX may allocate while it runs, and then a CUDA graph cannot be captured
    return ("REQUIRE_USER_ALLOCATION",) if library.name == "tensorrt_rtx" else ()


def flags_text(library: Library) -> str:
    """All settings of a build, for the plan's key."""
    return ", ".join([f"vidpred build {BUILD_VERSION}", "STRONGLY_TYPED", "no TF32", *builder_flags(library)])


@dataclass(frozen=True)
class Parsed:
    """A network in TensorRT's own terms, and what must live as long as it does: the parser holds its weights."""

    builder: Any
    network: Any
    parser: Any


def parse(path: Path, library: Library) -> Parsed:
    """Read an ONNX file. Raises EngineError with the node and the reason when TensorRT does not take it."""
    trt, logger, builder = library.module, logger_of(library), start("Builder", library)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(_read(path), str(path)):
        raise EngineError(f"{library} cannot parse {path}: {_parser_errors(parser) or logger.last_errors()}")
    return Parsed(builder, network, parser)


def start(kind: str, library: Library) -> Any:
    """A "Builder" or a "Runtime". Raises EngineError with what TensorRT said when there is none to be had."""
    logger = logger_of(library)
    logger.errors.clear()
    try:
        return getattr(library.module, kind)(logger)
    except TypeError:  # so pybind11 says that TensorRT has returned nothing
        raise EngineError(f"{library} does not start: {logger.last_errors()}") from None


def _read(path: Path) -> bytes:
    """The file, with the modes of grid sampling by the names that they had before opset 20. TensorRT's parser (10.x and 11.1, for
    RTX 1.5) does not know the new ones and samples the nearest pixel without a word:
    https://github.com/NVIDIA/TensorRT/issues/4646. The old names are understood by all."""
    try:
        model = onnx.load(path)
    except Exception as error:  # noqa: BLE001 - protobuf has its own kinds for a damaged file
        raise EngineError(f"{path} is no usable ONNX file ({error}); delete it and it is made again") from None
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode":
                attribute.s = OLD_MODES.get(attribute.s, attribute.s)
    return model.SerializeToString()


def build(path: Path, plan: Path, library: Library, progress: Progress | None = None) -> None:
    """Parse an ONNX file of fixed shapes, build its engine and write it to ``plan``.

    ``progress`` is told the phase and the share that is done; what it raises ends the build and comes out here. Raises
    EngineError, and writes nothing, when the file cannot be parsed (with the node and the reason) or the engine not be built.
    """
    trt, parsed = library.module, parse(path, library)
    config = parsed.builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    for flag in builder_flags(library):
        config.set_flag(getattr(trt.BuilderFlag, flag))
    monitor = make_monitor(trt, f"building {path.stem} with {library}", progress)
    config.progress_monitor = monitor
    serialized = parsed.builder.build_serialized_network(parsed.network, config)
    if monitor.raised is not None:
        raise monitor.raised
    if serialized is None:
        raise EngineError(f"{library} cannot build an engine of {path}: {logger_of(library).last_errors()}")
    plan.write_bytes(serialized)


def _parser_errors(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    where = [f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else "" for error in errors]
    return "; ".join(place + " ".join(error.desc().split()) for place, error in zip(where, errors, strict=True))


@cache
def logger_of(library: Library) -> Any:
    """TensorRT's messages in Python's log, at most as INFO: the exception that follows has the errors. One for a process, since
    TensorRT keeps the first that it is given."""
    trt = library.module
    base: Any = trt.ILogger
    severity_of = base.Severity
    levels = {
        severity_of.INTERNAL_ERROR: logging.INFO,
        severity_of.ERROR: logging.INFO,
        severity_of.WARNING: logging.INFO,
        severity_of.INFO: logging.DEBUG,  # hundreds of lines for a build
    }

    class Logger(base):
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (severity_of.INTERNAL_ERROR, severity_of.ERROR):
                self.errors.append(" ".join(message.split()))
            if severity in levels:
                log.log(levels[severity], "%s: %s", library.name, message)

        def last_errors(self) -> str:
            """What was logged last as an error, in words for an exception."""
            return "; ".join(self.errors[-3:]) or "it gives no reason"

    return Logger()


def make_monitor(trt: Any, what: str, progress: Progress | None) -> Any:
    """TensorRT's IProgressMonitor that tells ``progress``, at most once for each hundredth of the whole.

    Phases nest: a step of the outer phase is as far as the phases within it are. TensorRT calls from threads of its own,
    which no exception may enter: what ``progress`` raises is kept in ``raised`` and ends the build.
    """

    base: Any = trt.IProgressMonitor

    class Monitor(base):
        def __init__(self) -> None:
            base.__init__(self)
            self.raised: BaseException | None = None
            self._open: dict[str, _Phase] = {}
            self._lock = threading.Lock()
            self._told = -1.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._open[phase_name] = _Phase(parent_phase, max(1, num_steps))
                self._tell(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name in self._open:
                    self._open[phase_name].done = step + 1
                self._tell(phase_name)
                return self.raised is None

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._open.pop(phase_name, None)

        def _tell(self, phase_name: str) -> None:
            roots = [name for name, phase in self._open.items() if phase.parent not in self._open]
            share = max((_share(self._open, root) for root in roots), default=0.0)
            if progress is None or self.raised is not None or share < self._told + 0.01:
                return
            self._told = share
            try:
                progress(f"{what}: {phase_name[:1].lower()}{phase_name[1:]}", share)
            except BaseException as error:  # noqa: BLE001 - raised again by build()
                self.raised = error

    return Monitor()


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


def _share(phases: dict[str, _Phase], name: str) -> float:
    """How much of a phase is done, 0 to 1, with what the phases within it have done."""
    within = max((_share(phases, child) for child, phase in phases.items() if phase.parent == name), default=0.0)
    return min(1.0, (phases[name].done + within) / phases[name].steps)
