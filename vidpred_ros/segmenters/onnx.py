"""A segmentation network of the user's own: an ONNX file, and a YAML that says what its ids mean and what it wants.

    classes: {0: road, 1: sidewalk, 2: void}  # Cityscapes' names, or CamVid's; a list counts from id 0
    ignore: 255                               # ids that mean no class (optional)
    network:                                  # optional; these are the defaults
      size: [512, 1024]                       # height, width: only where the file leaves them open
      scale: 255                              # what 8-bit values are divided by
      mean: [0, 0, 0]                         # what is then subtracted, and what that is divided by,
      std: [1, 1, 1]                          #   in the order of ``colours``
      colours: rgb                            # or bgr
      layout: nchw                            # or nhwc: only where the file does not show it

It runs on TensorRT, built and kept like a released model's graphs, on OpenVINO, or on ONNX Runtime (on the CPU). Where it does not
run on the engine that was asked for, torch above all, one of the CPU's takes its place with a warning: a node has one engine for
its frames and its segmenter. It computes in the types that the file is written in; only OpenVINO takes bfloat16 where the
processor has it, unless float32 is asked for.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidpred_ros.engines.base import Engine, bf16_is_native, cache_folder
from vidpred_ros.engines.choice import (
    GPU_ENGINES,
    EngineChoice,
    EngineLike,
    as_choice,
    choose,
    first_that_opens,
    obstacles,
)
from vidpred_ros.errors import ConfigError, EngineError, ModelError, VidpredError
from vidpred_ros.semantics import IGNORE, read_class_table
from vidpred_ros.sources.base import sha256_of_files

Side = Annotated[int, Field(ge=16, le=8192)]
Positive = Annotated[float, Field(gt=0)]
Layout = Literal["nchw", "nhwc"]
#: Engines that run a network of the user's own, best first: with a GPU, and without.
ON_CPU = ("openvino", "onnxruntime")
RUNTIMES = (*GPU_ENGINES, *ON_CPU)
#: Types of an input that are filled: colours as they are, or normalised.
TYPES: dict[int, Any] = {onnx.TensorProto.UINT8: np.uint8, onnx.TensorProto.FLOAT: np.float32}


log = logging.getLogger(__name__)


class Network(BaseModel):
    """What the network wants of a frame: the key ``network`` of the class table."""

    model_config = ConfigDict(extra="forbid")

    size: tuple[Side, Side] | None = None
    scale: Positive = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    colours: Literal["rgb", "bgr"] = "rgb"
    layout: Layout | None = None


class OnnxSegmenter:
    """One input of frames (NCHW or NHWC, float32 or uint8, batch 1), one output of ids (integers) or of a score for each class;
    of several the file's first counts.

    The output may be smaller than the frame: scores are enlarged bilinearly, ids by nearest neighbour. Raises ConfigError
    for a class table that does not fit, ModelError for a file that is no such network, EngineError when it does not run.
    """

    def __init__(self, path: Path, table: Path, engine: EngineLike) -> None:
        self.name = path.stem
        self.table, wanted = read_class_table(table), _read_network(table)
        self._wanted = wanted
        port, self._output = _ports(path)
        self._input = port.name
        self._type, shape = _type(path, port), [d.dim_value for d in port.type.tensor_type.shape.dim]
        if self._type is np.uint8 and (wanted.mean, wanted.std) != ((0, 0, 0), (1, 1, 1)):
            raise ConfigError(f"class table {table}: network: mean and std are for a float input, and that of {path} is uint8")
        self._layout = _layout(path, shape, wanted.layout)
        self.size = _size(path, shape, self._layout, wanted.size)
        full = (1, 3, *self.size) if self._layout == "nchw" else (1, *self.size, 3)
        self._engine = _open(path, engine, {self._input: full})
        self.weights_sha256 = sha256_of_files([path, table])
        self.engine = f"{self._engine.name} {self._engine.precision}"
        try:
            self.segment(np.zeros((*self.size, 3), np.uint8))  # now, not when the first frame comes
        except Exception as error:  # a runtime raises kinds of its own
            self.close()
            if isinstance(error, VidpredError):
                raise
            height, width = self.size
            raise EngineError(f"{path} does not run on {self.engine} with frames of {width}x{height}: {error}") from None

    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """HxWx3 uint8 RGB of ``size`` to HxW uint8 train ids. Raises ConfigError when the table does not fit the output."""
        results = self._engine.infer({self._input: self._prepared(frame)})
        # by name, since TensorRT has an order of its own; OpenVINO, which keeps the file's, may have another name for it
        found = results.get(self._output, next(iter(results.values())))
        return self.table.translate(self._ids(found))

    def _prepared(self, frame: NDArray[np.uint8]) -> NDArray[Any]:
        pixels: NDArray[Any] = frame if self._wanted.colours == "rgb" else frame[..., ::-1]
        if self._type is not np.uint8:
            wanted = self._wanted
            mean, std = np.array(wanted.mean, np.float32), np.array(wanted.std, np.float32)
            pixels = (pixels.astype(np.float32) / np.float32(wanted.scale) - mean) / std
        return (pixels.transpose(2, 0, 1) if self._layout == "nchw" else pixels)[None]  # an engine copies what it must

    def _ids(self, output: NDArray[Any]) -> NDArray[np.uint8]:
        """The network's own ids, (H, W) uint8 of the frame's size."""
        if np.issubdtype(output.dtype, np.floating):
            scores = self._scores(output)
            if scores.shape[:2] != self.size:
                plain = np.ascontiguousarray(scores, np.float32)
                scores = cv2.resize(plain, self.size[::-1], interpolation=cv2.INTER_LINEAR)
            return scores.argmax(axis=-1).astype(np.uint8)
        plane = output[0] if output.ndim == 3 and len(output) == 1 else output.squeeze()
        if plane.ndim != 2:
            raise ModelError(f"{self.name}: its output is {output.shape} {output.dtype}, and a label map has height and width")
        if plane.min() < 0 or plane.max() > 255:
            raise ConfigError(f"{self.name}: its output has ids from {plane.min()} to {plane.max()}; label maps hold 0 to 255")
        return cv2.resize(plane.astype(np.uint8), self.size[::-1], interpolation=cv2.INTER_NEAREST)

    def _scores(self, output: NDArray[Any]) -> NDArray[Any]:
        """The same as (h, w, classes), the classes being those of the table."""
        known = {theirs for theirs, _ in self.table.ids}
        named = {theirs for theirs, ours in self.table.ids if ours != IGNORE}
        for axis in (1, 3) if output.ndim == 4 and len(output) == 1 else ():
            count = output.shape[axis]
            if count > 1 and named <= set(range(count)) <= known:  # ids to ignore may lie beyond the network's own
                return np.moveaxis(output[0], axis - 1, -1)
        raise ConfigError(
            f"class table {self.table.name} names ids up to {max(named)}, but {self.name} gives scores of shape {output.shape}: "
            "name each of the network's classes, with void for one that is none of Cityscapes'"
        )

    def close(self) -> None:
        self._engine.close()


def _read_network(path: Path) -> Network:
    values = yaml.safe_load(path.read_text())  # ``read_class_table`` read it too
    unknown = values.keys() - {"classes", "ignore", "network"}
    if unknown:
        raise ConfigError(f"class table {path}: unknown keys {', '.join(map(str, unknown))}; known: classes, ignore, network")
    try:
        return Network.model_validate(values.get("network") or {})
    except ValidationError as error:
        wrong = "; ".join(f"network.{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"class table {path}: {wrong}") from None


def _ports(path: Path) -> tuple[onnx.ValueInfoProto, str]:
    """The one input of an ONNX file, and the name of its first output."""
    if not path.is_file():
        raise ModelError(f"no file {path}")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # noqa: BLE001 - protobuf raises kinds of its own
        raise ModelError(f"{path} is no ONNX file: {error}") from None
    weights = {tensor.name for tensor in graph.initializer}
    ports = [port for port in graph.input if port.name not in weights]
    if len(ports) != 1 or len(ports[0].type.tensor_type.shape.dim) != 4 or len(graph.output) < 1:
        names = ", ".join(port.name for port in ports)
        raise ModelError(f"{path}: a segmenter has one input, frames with four dimensions, but this has {names or 'none'}")
    return ports[0], graph.output[0].name


def _type(path: Path, port: onnx.ValueInfoProto) -> Any:
    kind = port.type.tensor_type.elem_type
    if kind not in TYPES:
        raise ModelError(f"{path}: its input is {onnx.TensorProto.DataType.Name(kind)}; frames go in as FLOAT or UINT8")
    return TYPES[kind]


def _layout(path: Path, shape: list[int], wanted: Layout | None) -> Layout:
    """Where the colours are: the dimension of 3, or as the table says (0 is a dimension that the file leaves open)."""
    fits: list[Layout] = []
    if shape[1] in (0, 3):
        fits.append("nchw")
    if shape[3] in (0, 3):
        fits.append("nhwc")
    if wanted is not None:
        fits = [layout for layout in fits if layout == wanted]
    if len(fits) == 2 and (shape[1] == 3) != (shape[3] == 3):
        fits = ["nchw" if shape[1] == 3 else "nhwc"]
    if shape[0] > 1 or not fits:
        shown = "x".join(str(n or "?") for n in shape)
        raise ModelError(f"{path}: its input is {shown}; a segmenter takes one RGB frame, 1x3xHxW or 1xHxWx3")
    if len(fits) == 2:
        raise ConfigError(f"{path}: its file does not say where the colours are: give network: layout in the class table")
    return fits[0]


def _size(path: Path, shape: list[int], layout: Layout, wanted: tuple[int, int] | None) -> tuple[int, int]:
    sides = shape[2:] if layout == "nchw" else shape[1:3]
    if not all(sides) and wanted is None:
        raise ConfigError(f"{path} takes frames of any size: give network: size [height, width] in the class table")
    size = wanted or (sides[0], sides[1])
    if any(fixed not in (0, side) for fixed, side in zip(sides, size, strict=True)):
        fixed = "x".join(str(n or "?") for n in sides)
        raise ConfigError(f"{path} takes frames of {fixed} (height x width), and the class table says {size[0]}x{size[1]}")
    return size


def _open(path: Path, engine: EngineLike, shapes: dict[str, tuple[int, ...]]) -> Engine:
    choice = as_choice(engine)
    return first_that_opens(_runtimes(path, choice.name), path.name, lambda name: _open_on(name, path, choice, shapes))


def _runtimes(path: Path, named: str | None) -> list[str]:
    """The engines to try, best first. Raises EngineError when the one that was named is not here, or none is."""
    there = [name for name in RUNTIMES if not obstacles()[name]]
    if named is not None:
        choose(named)
        there = [name for name in there if name == named or (name in ON_CPU and named not in ON_CPU)]
    if not there:
        raise EngineError(f"{path}: an .onnx file runs on {', '.join(RUNTIMES)}, and none of them can run here: pip install openvino")
    if named not in (None, *RUNTIMES):
        log.warning("engine %s runs released models only and %s takes its place for %s", named, there[0], path.name)
    return there


def _open_on(name: str, path: Path, choice: EngineChoice, shapes: dict[str, tuple[int, ...]]) -> Engine:
    try:
        if name in GPU_ENGINES:
            from vidpred_ros.engines.tensorrt_engine import open_tensorrt

            fixed, precision = _with_fixed_shapes(path, shapes)
            return open_tensorrt(fixed, name, precision, choice.progress)
        if name == "openvino":
            from vidpred_ros.engines.openvino_engine import OpenvinoEngine

            bf16 = bf16_is_native() and choice.precision != "fp32"
            return OpenvinoEngine(path, "bf16" if bf16 else "fp32", shapes)
        from vidpred_ros.engines.onnxruntime_engine import OnnxruntimeEngine

        return OnnxruntimeEngine(path, shapes=shapes)
    except EngineError as error:
        raise EngineError(str(error).removesuffix("; delete it and it is made again")) from None


def _with_fixed_shapes(path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[Path, str]:
    """A copy in the cache, named by what is in it, whose inputs have these shapes and which has all its weights within; and the
    precision that it is written in."""
    try:
        model = onnx.load(str(path))
        for port in model.graph.input:
            for dim, side in zip(port.type.tensor_type.shape.dim, shapes.get(port.name, ()), strict=False):
                dim.dim_value = side
        del model.graph.value_info[:]  # of the open shapes
        model = onnx.shape_inference.infer_shapes(model)
        data = model.SerializeToString()
    except Exception as error:  # noqa: BLE001 - protobuf's and the checker's own kinds: weights that are not there, more than 2 GB
        raise EngineError(f"{path} cannot be given fixed shapes: {error}") from None
    fixed = cache_folder() / f"{path.stem}-{hashlib.sha256(data).hexdigest()[:12]}.onnx"
    if not fixed.is_file():
        part = fixed.with_suffix(f".{os.getpid()}.part")
        try:
            fixed.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(fixed)
        except OSError as error:
            raise EngineError(f"the engine cache {fixed.parent} cannot be used: {error}; VIDPRED_CACHE moves it") from None
    half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return fixed, "fp16" if half else "fp32"
