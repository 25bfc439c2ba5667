"""Untrained networks: made once, checked as a release is, and with activations that neither vanish nor grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidpred_ros.bench import networks
from vidpred_ros.bench.networks import network_named, untrained
from vidpred_ros.engines.graph import load_network
from vidpred_ros.errors import ModelError
from vidpred_ros.models import CARD


def test_names() -> None:
    paper, tree = untrained("paper_w25"), untrained("tree_w100")
    assert paper is not None and (paper.form, paper.width, paper.head, paper.motion_prior) == ("paper", 0.25, "pixels", "none")
    assert tree is not None and tree.streams and tree.width == 1.0
    assert untrained("hrp_tree_w25") is None
    assert network_named("hrp_tree_w25").id == "hrp_tree_w25"
    with pytest.raises(ModelError, match="nothing_like_it"):
        network_named("nothing_like_it")


@pytest.mark.parametrize("name", ["paper_w10", "tree_w10"])
def test_an_untrained_network(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDPRED_CACHE", str(tmp_path))
    monkeypatch.setattr(networks, "SIZE", (32, 48))
    model = network_named(name)
    made = (model.folder / CARD).stat().st_mtime_ns
    assert model.card.size == (32, 48) and network_named(name).card == model.card
    assert (model.folder / CARD).stat().st_mtime_ns == made, "made once"
    network = load_network(model)
    assert model.card.parameters == sum(p.numel() for p in network.parameters())
    spreads = []
    hooks = [m.register_forward_hook(lambda m, x, y: spreads.append(y.std().item())) for m in network.top_down]
    with torch.no_grad():
        futures = network(torch.rand(1, 8, 3, 32, 48), None, [1])
    for hook in hooks:
        hook.remove()
    assert np.isfinite(futures.numpy()).all()
    assert all(0.01 < spread < 100 for spread in spreads)
