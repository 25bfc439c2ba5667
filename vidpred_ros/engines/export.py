"""Export a released network to ONNX and refuse a file that computes something else: `python -m vidpred_ros.engines.export`.

It runs in a process of its own when an engine needs a file that is not in the cache, so that the process that predicts
never imports torch. The file's metadata names the model, its weights, the graph and the steps; engines check them.
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

from vidpred_ros.engines import cached_file, expected_metadata, open_file
from vidpred_ros.engines.base import installed_engines
from vidpred_ros.engines.graph import Stream, WholeWindow, load_network, make_graph, probe_inputs
from vidpred_ros.errors import EngineError, VidpredError
from vidpred_ros.models import ReleasedModel, find_model

#: Largest difference of any output from torch, in float32 on the same inputs.
PARITY = 1e-3


def export(model: ReleasedModel, kind: str, steps: int, path: Path) -> float:
    """Write the ONNX file of a graph and return its largest difference from torch.

    Raises EngineError, and leaves no file, when a runtime's outputs differ by more than ``PARITY``.
    """
    graph = make_graph(load_network(model), kind, steps).eval()
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
        onnx.helper.set_model_props(proto, expected_metadata(model, kind, steps) | graph.metadata())
        onnx.save(proto, part)
        worst = parity(graph, inputs, part, model.card.size)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return worst


def parity(
    graph: WholeWindow | Stream, inputs: tuple[torch.Tensor, ...], path: Path, size: tuple[int, int]
) -> float:
    """Largest difference between torch and every installed runtime on the file, in float32. Raises EngineError."""
    with torch.no_grad():
        result = graph(*inputs)
    wanted = dict(zip(graph.outputs(), result if isinstance(result, tuple) else (result,), strict=True))
    arrays = {name: tensor.numpy() for name, tensor in zip(graph.inputs(size), inputs, strict=True)}
    worst = 0.0
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
            worst = max(worst, difference)
    return worst


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Export a released model to ONNX, checked against torch.")
    parser.add_argument("model", help="a released model's name or folder")
    parser.add_argument("--kind", choices=["stream", "whole"], default="stream")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the file; default: where the engines look for it")
    options = parser.parse_args(arguments)
    try:
        model = find_model(options.model)
        path = options.out or cached_file(model, options.kind, options.steps)
        worst = export(model, options.kind, options.steps, path)
    except VidpredError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{path}  (largest difference from torch {worst:.1e})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
