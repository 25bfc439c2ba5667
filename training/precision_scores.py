"""What a precision costs: `python -m training.precision_scores hrp_tree_w25 SEQUENCE...` scores the same windows in each.

TensorRT's files are run by ONNX Runtime here, which computes what they say; that of bfloat16 it cannot run, so OpenVINO's bf16 stands
for it.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from training.calibrate import recorder
from training.readme import write_readme
from training.scores import HEADLINE
from training.windows import at_work, windows
from vidpred_ros.engines import GraphSpec, exported_file, open_file
from vidpred_ros.engines.base import Arrays
from vidpred_ros.engines.precision import retype
from vidpred_ros.errors import ConfigError, SourceError, VidpredError
from vidpred_ros.metrics import FrameMetrics
from vidpred_ros.models import INT8, ReleasedModel, find_model
from vidpred_ros.networks.config import FRAME_KINDS
from vidpred_ros.sources import open_source

#: Precision of the file, runtime and its precision, and what the card calls it; float32 first.
COMPARED = (
    ("fp32", "openvino", "fp32", "fp32"),
    ("fp32", "openvino", "bf16", "bf16 (OpenVINO)"),
    ("fp16", "onnxruntime", "fp16", "fp16 (TensorRT's file)"),
    ("uint8", "openvino", "int8", "int8 (OpenVINO)"),
    ("int8", "onnxruntime", "int8", "int8 (TensorRT's file)"),
)
#: A source with fewer windows of all steps is scored on the next frame alone, of which it has more.
FEW = 10


def score(model: ReleasedModel, name: str, steps: int) -> list[dict[str, Any]]:
    """SSIM, PSNR and LPIPS of every window of a source that has ``steps`` futures, in each precision. Raises VidpredError."""
    feeds: list[Arrays] = []
    truth: list[NDArray[np.uint8]] = []
    seconds, seen = [], model.card.window
    with at_work(model, "whole", steps, recorder(model, feeds)) as run:
        for both in windows(name, model, steps):
            run(replace(both, stamps_ns=both.stamps_ns[:seen], frames=both.frames[:seen], sequence=both.sequence - steps))
            truth.append(np.stack(both.frames[seen:]))
            seconds.append([(stamp - both.stamps_ns[seen - 1]) / 1e9 for stamp in both.stamps_ns[seen:]])
    if not feeds:
        raise SourceError(f"{name} holds no window that {steps} frames follow; give fewer --steps")
    metrics, found = FrameMetrics(), []
    proto = onnx.load(exported_file(model, GraphSpec("whole", steps)))
    for precision, runtime, computed, title in COMPARED:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{precision}.onnx"
            onnx.save(retype(proto, precision, model.int8.ranges), path)
            with closing(open_file(runtime, path, computed)) as engine:
                made = [engine.infer(feed)["futures"] for feed in track(feeds, description=f"{Path(name).name}, {title}")]
        scores = [metrics(futures, frames) for futures, frames in zip(made, truth, strict=True)]
        for k in sorted({1, (steps + 1) // 2, steps}):
            values = {metric: float(np.mean([window[k - 1][metric] for window in scores])) for metric in HEADLINE}
            ahead = {"step": k, "seconds": round(float(np.median(seconds, axis=0)[k - 1]), 3)}
            entry = {"source": Path(name).name, **ahead, "precision": title, "windows": len(feeds), **values}
            found.append(entry | {"data_sha256": open_source(name).fingerprint()[:16]})
    return with_change(found)


def with_change(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By how much LPIPS is higher than in float32, in per cent; by horizon, float32 first; rounded."""
    float32 = {entry["step"]: entry["lpips"] for entry in entries if entry["precision"] == COMPARED[0][3]}
    for entry in entries:
        entry["lpips_per_cent"] = round(100 * (entry["lpips"] / float32[entry["step"]] - 1), 2)
        entry |= {metric: round(entry[metric], 4) for metric in HEADLINE}
    return sorted(entries, key=lambda entry: entry["step"])


def main(
    model: Annotated[str, typer.Argument(help="a released model of frames that has an int8.json, by name or folder")],
    sources: Annotated[list[str], typer.Argument(help="SOURCEs that it was neither trained nor calibrated on")],
    steps: Annotated[int, typer.Option("--steps", "-k", min=1, help="future frames; only the next where a source has few windows")] = 5,
    card: Annotated[bool, typer.Option("--card", help="write them into int8.json and the README too")] = False,
) -> None:
    """Print SSIM, PSNR and LPIPS of the same windows in float32, bf16, fp16 and int8.

    Example: python -m training.precision_scores hrp_tree_w25 /data/kitti_residential_b --card
    """
    try:
        released, found = find_model(model), []
        if released.card.network.kind not in FRAME_KINDS or released.card.network.noise_channels:
            raise ConfigError(f"model {released.id} has no futures to compare: name a model of frames that draws none")
        for source in sources:
            entries = score(released, source, steps)
            if entries[0]["windows"] < FEW and steps > 1:
                entries = score(released, source, 1)
            for entry in entries:
                print({key: value for key, value in entry.items() if key != "data_sha256"}, flush=True)
            found += entries
        if card:
            int8 = released.int8.model_copy(update={"scores": found})
            (released.folder / INT8).write_text(int8.model_dump_json(indent=1) + "\n")
            write_readme(released.folder)
    except VidpredError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
