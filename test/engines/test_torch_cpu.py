"""torch on the CPU: convolutions by oneDNN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from helpers.models import TINY, make_model
from torch import nn

from vidpred_ros.engines.base import GraphSpec, graphs_of
from vidpred_ros.engines.graph import make_graph, probe_inputs
from vidpred_ros.engines.torch_cpu import OnednnConv2d, by_onednn
from vidpred_ros.engines.torch_engine import TorchEngine
from vidpred_ros.models import ReleasedModel


@pytest.mark.parametrize("kind", TINY)
def test_every_kind_of_network_gives_the_same_numbers(kind: str, tmp_path: Path) -> None:
    model = ReleasedModel(make_model(tmp_path, kind=kind))
    samples = 2 if model.card.network.noise_channels else 1
    for name in graphs_of(model.card.network):
        spec = GraphSpec(name, 1, samples)
        engine, graph = TorchEngine(model, spec, "fp32"), make_graph(model, spec)
        if torch.backends.mkldnn.is_available():
            assert nn.Conv2d not in {type(layer) for layer in engine._graph.modules()}
        tensors = probe_inputs(graph, model.card.size, seed=3)
        with torch.inference_mode():
            results = graph(*tensors)
        expected = dict(zip(graph.outputs(), results if isinstance(results, tuple) else (results,), strict=True))
        got = engine.infer({port: tensor.numpy() for port, tensor in zip(engine.inputs, tensors, strict=True)})
        assert got.keys() == expected.keys()
        for port, tensor in expected.items():
            apart = np.abs(got[port].astype(np.float64) - tensor.numpy())
            if tensor.dtype == torch.uint8:  # a byte is cut off from a float, and a class is the larger of two
                assert (apart > 0).mean() < 0.01, (name, port)
            else:
                assert apart.max() < 1e-3, (name, port)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN")
def test_any_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """With strides, dilations, groups and no bias; one that pads by itself, or is of another class, is left alone."""
    torch.manual_seed(0)
    own = type("Own", (nn.Conv2d,), {})
    layers = [
        nn.Conv2d(8, 12, 3, padding=1),
        nn.Conv2d(8, 12, (1, 5), stride=(2, 1), padding=(0, 2), bias=False),
        nn.Conv2d(8, 8, 3, dilation=2, groups=4),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
        own(8, 8, 3),
    ]
    x = torch.randn(1, 8, 9, 11)
    with torch.inference_mode():
        expected = [layer(x) for layer in layers]
        by_onednn(nn.ModuleList(layers))
        assert [isinstance(layer, OnednnConv2d) for layer in layers] == [True] * 4 + [False] * 3
        for layer, wanted in zip(layers, expected, strict=True):
            assert torch.allclose(layer(x), wanted, atol=1e-5)
            assert torch.allclose(layer(x.to(memory_format=torch.channels_last)), wanted, atol=1e-5)
    layer = nn.Conv2d(3, 3, 3)
    by_onednn(nn.ModuleList([layer, nn.Conv3d(3, 3, 3)]))
    assert type(layer) is nn.Conv2d
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    by_onednn(layer)
    assert type(layer) is nn.Conv2d
