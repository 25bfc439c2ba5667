"""Which engine runs a network here: what keeps each from running, the order in which they are tried, and the fall back.

Looking costs milliseconds and imports no runtime: a process must not load TensorRT or torch to learn that it is not there.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from vidpred_ros.engines.base import ENGINES, Engine, Progress
from vidpred_ros.errors import EngineError, VidpredError

#: Modules of the engines that need a GPU, any of which will do, and the packages that `pip` knows.
GPU_ENGINES = {
    "tensorrt": (("tensorrt", "tensorrt_bindings"), "tensorrt cuda-bindings"),
    "tensorrt_rtx": (("tensorrt_rtx", "tensorrt_rtx_bindings"), "tensorrt-rtx cuda-bindings"),
}
#: What each engine can compute in; its default is its own affair. torch has the half ones on a GPU only, and TensorRT fp8 on
#: GPUs from ``FP8_CAPABILITY`` on (``_precisions``).
PRECISIONS = {
    "tensorrt": ("fp32", "fp16", "bf16", "int8", "fp8"),
    "tensorrt_rtx": ("fp32", "fp16", "bf16", "int8", "fp8"),
    "torch": ("fp32", "fp16", "bf16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32", "int8"),
}
#: Of NVIDIA's own system on a Jetson.
JETPACK = Path("/etc/nv_tegra_release")
#: Ada, Hopper and newer; Orin has 8.7.
FP8_CAPABILITY = (8, 9)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineChoice:
    """What is asked of engines. It goes wherever the name of an engine goes: ``make_predictor(model, EngineChoice(...))``.

    ``name`` None: the best that works here; ``precision`` None: the engine's default; ``progress``: told what takes long;
    ``opened``: shown every engine that was opened; ``refused``: open one too that `vidpred build` found too far from float32.
    """

    name: str | None = None
    precision: str | None = None
    progress: Progress | None = None
    opened: Callable[[Engine], None] | None = None
    refused: bool = False


#: How an engine is asked for: a choice, or its name alone; None for the best.
EngineLike = str | EngineChoice | None


@dataclass(frozen=True)
class Gpu:
    """The first NVIDIA GPU as its driver describes it."""

    name: str
    capability: str  # "8.7"
    memory_gb: float
    cuda: str  # newest CUDA that the driver runs: "12.6"


def as_choice(engine: EngineLike, precision: str | None = None, progress: Progress | None = None) -> EngineChoice:
    """The choice itself, or one of that name; ``precision`` and ``progress``, where given, count more than the choice's own."""
    choice = engine if isinstance(engine, EngineChoice) else EngineChoice(engine)
    return replace(choice, precision=precision or choice.precision, progress=progress or choice.progress)


def find_gpu() -> Gpu:
    """The first NVIDIA GPU. Raises EngineError that says why there is none."""
    found = _ask_driver()
    if isinstance(found, str):
        raise EngineError(found)
    return found


@cache
def _ask_driver() -> Gpu | str:
    """The GPU, or why there is none: from the driver's library, which desktop machines and Jetsons have alike."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA GPU: its driver (libcuda.so.1) is not installed"
    device, major, minor, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    code = cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
    code = code or cuda.cuDeviceGetName(name, len(name), device)
    code = code or cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    code = code or cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)  # ... _MINOR
    code = code or cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    code = code or cuda.cuDriverGetVersion(ctypes.byref(version))
    if code:
        why = {100: "the driver sees no device", 803: "driver and library versions differ: restart the machine"}
        return f"no NVIDIA GPU to use: {why.get(code, 'the driver fails')} (CUDA error {code})"
    number = version.value
    return Gpu(
        name.value.decode(), f"{major.value}.{minor.value}", memory.value / 2**30, f"{number // 1000}.{number % 1000 // 10}"
    )


def obstacles() -> dict[str, str]:
    """Every engine in the order in which it is tried, and what keeps it from running here ("": nothing does)."""
    gpu = _ask_driver()
    found = {name: _gpu_obstacle(name, gpu) for name in GPU_ENGINES}
    order = ("torch", "openvino", "onnxruntime") if torch_on_gpu() else ("openvino", "onnxruntime", "torch")
    return found | {name: "" if installed(ENGINES[name]) else "not installed" for name in order}


def _gpu_obstacle(name: str, gpu: Gpu | str) -> str:
    if not any(installed(module) for module in GPU_ENGINES[name][0]):
        return "not installed"
    if isinstance(gpu, str):
        return gpu
    return "" if installed("cuda.bindings") else f"the Python package cuda-bindings is not installed: pip install {cuda_bindings()}"


def cuda_bindings() -> str:
    """What to ask of pip: bindings that are not newer than the driver. Those from 12.9 on bring NVIDIA's runtime along, which may
    refuse an older driver; those before it, the ones for CUDA 12 on pip being 12.8, call the driver's own functions."""
    gpu = _ask_driver()
    if isinstance(gpu, str):
        return "cuda-bindings"
    major, minor = gpu.cuda.split(".")
    return f'"cuda-bindings>={major},<{"12.9" if major == "12" else f"{major}.{int(minor) + 1}"}"'


def how_to_install(name: str) -> str:
    """An engine, in words."""
    gpu = _ask_driver()
    if name == "tensorrt" and JETPACK.exists():
        return (
            "it comes with JetPack (sudo apt install nvidia-jetpack) for the system's Python, which a virtual environment sees that is "
            f"made with --system-site-packages; pip install {cuda_bindings()} is for that environment"
        )
    if name not in GPU_ENGINES:
        return f"pip install {ENGINES[name]}"
    if name == "tensorrt" and isinstance(gpu, Gpu):  # the package of no CUDA's name is for the newest
        return f"pip install tensorrt-cu{gpu.cuda.partition('.')[0]} {cuda_bindings()}"
    return f"pip install {GPU_ENGINES[name][1].replace('cuda-bindings', cuda_bindings())}"


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False


def torch_on_gpu() -> bool:
    """Whether there is a GPU and a torch that was built for CUDA, by torch's own file: importing it takes seconds."""
    spec = importlib.util.find_spec("torch")
    if isinstance(_ask_driver(), str) or spec is None or spec.origin is None:
        return False
    try:
        version = (Path(spec.origin).parent / "version.py").read_text()
    except OSError:
        return False
    return re.search(r"^cuda\b[^=]*=\s*'[\d.]+'", version, flags=re.MULTILINE) is not None


def _precisions(name: str) -> tuple[str, ...]:
    """Of an engine on this machine."""
    if name == "torch" and not torch_on_gpu():
        return ("fp32",)
    gpu = _ask_driver()
    if isinstance(gpu, Gpu) and tuple(map(int, gpu.capability.split("."))) < FP8_CAPABILITY:
        return tuple(one for one in PRECISIONS[name] if one != "fp8")
    return PRECISIONS[name]


def choose(name: str | None) -> str:
    """The engine of that name, or the best that can run here. Raises EngineError with what to install."""
    found = obstacles()
    if name is None:
        best = next((one for one, obstacle in found.items() if not obstacle), None)
        if best is None:
            raise EngineError("no inference engine is installed: pip install openvino (or onnxruntime, or torch)")
        return best
    there = ", ".join(one for one, obstacle in found.items() if not obstacle) or "none"
    if name not in found:
        raise EngineError(f"unknown engine {name!r}; known: {', '.join(found)}; this machine can run: {there}")
    if found[name] == "not installed":
        raise EngineError(f"engine {name!r} is not installed: {how_to_install(name)} (this machine can run: {there})")
    if found[name]:
        raise EngineError(f"engine {name!r} cannot run here: {found[name]} (this machine can run: {there})")
    return name


def candidates(precision: str | None) -> list[str]:
    """The engines that ``auto`` tries, best first. Raises EngineError when none can run, or none in that precision."""
    choose(None)  # or there is none
    there = [name for name, obstacle in obstacles().items() if not obstacle]
    able = [name for name in there if precision is None or precision in _precisions(name)]
    if not able:
        offers = "; ".join(f"{name} has {', '.join(_precisions(name))}" for name in there)
        raise EngineError(f"no engine of this machine computes in {precision}: {offers}")
    return able


def file_precision(name: str, precision: str | None) -> str:
    """Of the exported file that an engine runs, by the precision that is asked of the engine (None: its default)."""
    if name in GPU_ENGINES:
        return precision or "fp16"
    return "uint8" if precision == "int8" else "fp32"


def check_precision(name: str, precision: str | None) -> None:
    """Raise EngineError for a precision that an engine does not have."""
    if precision is not None and precision not in _precisions(name):
        raise EngineError(f"engine {name!r} does not compute in {precision} here; it has {', '.join(_precisions(name))}")


def first_that_opens(names: list[str], what: str, open_one: Callable[[str], Engine]) -> Engine:
    """Try the engines in turn. One that fails gives way to the next, with a warning that says why.

    What is wrong with the model or its settings is wrong on every engine and raised at once; EngineError, with every reason,
    when none opens.
    """
    failures: dict[str, str] = {}
    for name, after in zip(names, [*names[1:], None], strict=True):
        try:
            return open_one(name)
        except Exception as error:  # a GPU's libraries raise kinds of their own, and the car drives on without them
            if isinstance(error, VidpredError) and not isinstance(error, EngineError):
                raise
            known = isinstance(error, EngineError)
            failures[name] = str(error) if known else f"{type(error).__name__}: {error}"
            if len(names) == 1 and known:
                raise
            if after is not None:
                log.warning("engine %s cannot run %s and %s takes its place: %s", name, what, after, failures[name])
    raise EngineError(f"no engine can run {what}: " + "; ".join(f"{name}: {why}" for name, why in failures.items()))
