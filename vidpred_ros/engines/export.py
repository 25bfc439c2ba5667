"""Export a released network to ONNX and refuse a file that computes something else.

`vidpred export` calls it. It is also a process of its own (`python -m vidpred_ros.engines.export`) when an engine needs a
file that is not in the cache, so that the process that predicts never imports torch. The file's metadata names the
model, its weights, the graph, steps and samples; engines check them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from vidpred_ros.engines import expected_metadata, open_file
from vidpred_ros.engines.base import installed_engines
from vidpred_ros.engines.graph import Stream, WholeWindow, make_graph, probe_inputs
from vidpred_ros.errors import EngineError, VidpredError
from vidpred_ros.models import ReleasedModel, find_model

#: Largest difference of any output from torch, in float32 on the same inputs.
PARITY = 1e-3


def export(model: ReleasedModel, kind: str, steps: int, path: Path, samples: int = 1) -> dict[str, float]:
    """Write the ONNX file of a graph and return its largest difference from torch on each installed runtime.

    Raises EngineError, and leaves no file, when a runtime's outputs differ by more than ``PARITY``.
    """
    graph = make_graph(model, kind, steps, samples)
    inputs = tuple(probe_inputs(graph, model.card.size))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part.onnx")  # two nodes that start at once do not write into one file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(
                graph,
                inputs,
                str(part),
                input_names=list(graph.inputs(model.card.size)),
                output_names=graph.outputs(),
                dynamo=True,
                optimize=True,
                external_data=False,
                verbose=False,
            )
        proto = onnx.load(part)
        onnx.helper.set_model_props(proto, expected_metadata(model, kind, steps, samples) | graph.metadata())
        onnx.save(proto, part)
        differences = parity(graph, inputs, part, model.card.size)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return differences


def parity(
    graph: WholeWindow | Stream, inputs: tuple[torch.Tensor, ...], path: Path, size: tuple[int, int]
) -> dict[str, float]:
    """Largest difference between torch and each installed runtime on the file, in float32. Raises EngineError."""
    with torch.no_grad():
        result = graph(*inputs)
    wanted = dict(zip(graph.outputs(), result if isinstance(result, tuple) else (result,), strict=True))
    arrays = {name: tensor.numpy() for name, tensor in zip(graph.inputs(size), inputs, strict=True)}
    differences: dict[str, float] = {}
    for name in installed_engines():
        if name == "torch":
            continue
        engine = open_file(name, path, precision="fp32")
        got = engine.infer(arrays)
        engine.close()
        for output, tensor in wanted.items():
            difference = float(np.abs(got[output] - tensor.numpy()).max())
            if not difference <= PARITY:
                raise EngineError(
                    f"the exported graph on {name} differs from torch by {difference:.2g} in {output} (limit {PARITY:g}); "
                    "the file was not kept. Report this with the versions of torch and of the runtime"
                )
            differences[name] = max(differences.get(name, 0.0), difference)
    return differences


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Export a released model to ONNX, checked against torch.")
    parser.add_argument("model", help="a released model's name or folder")
    parser.add_argument("--kind", choices=["stream", "whole"], default="stream")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--samples", type=int, default=1, help="futures that a stochastic model draws at a time")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        export(find_model(options.model), options.kind, options.steps, options.out, options.samples)
    except VidpredError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
