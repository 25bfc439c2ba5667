from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vidpred_ros.motion import guessed_labels
from vidpred_ros.networks import make_network
from vidpred_ros.networks.config import StructureConfig
from vidpred_ros.networks.conv_lstm import ConvLstm
from vidpred_ros.networks.stochastic import draw
from vidpred_ros.networks.structure import Encoding, FeedForward, StructureGenerator

SIZE, CONTEXT = (16, 32), 3
FORMS: list[dict[str, Any]] = [
    {},
    {"motion_prior": "dis"},
    {"form": "lstm", "motion_prior": "dis"},
    {"form": "cnn"},
    {"space": "soft", "motion_prior": "dis"},
    {"space": "rgb"},
    {"scale": 16},
]


def network(**settings: Any) -> StructureGenerator:
    """A small network whose outputs are lively, with a motion prior too."""
    torch.manual_seed(0)
    config = {"kind": "structure", "size": SIZE, "width": 0.05, "context": CONTEXT, "classes": 6} | settings
    made = StructureGenerator(StructureConfig(**config)).eval()
    if made.scale is not None:
        nn.init.normal_(made.decoder.out.weight, std=0.5)
    return made


def maps(batch: int, length: int, seed: int = 1) -> Tensor:
    """Label maps of a few large regions, a few pixels ignored."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 6, (batch, length, SIZE[0] // 4, SIZE[1] // 4), dtype=np.uint8)
    labels = coarse.repeat(4, axis=2).repeat(4, axis=3)
    labels[:, :, -1, :5] = 255
    return torch.from_numpy(labels)


def inputs(net: StructureGenerator, batch: int, steps: int, seed: int = 1) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Clip (context and ``steps`` futures), moved maps and flows as the form wants them."""
    generator = torch.Generator().manual_seed(seed)
    labels: Tensor = maps(batch, CONTEXT + steps, seed)
    if net.config.space == "rgb":
        labels = torch.rand(batch, CONTEXT + steps, 3, *SIZE, generator=generator)
    if not net.config.needs_flows:
        return labels, None, None
    flows = 3 * torch.randn(batch, CONTEXT, 2, *SIZE, generator=generator)
    return labels, maps(batch, CONTEXT - 1 + steps, seed + 1), flows


def noise(net: StructureGenerator, batch: int, steps: int, seed: int = 2) -> Tensor:
    return torch.randn(batch, steps, *net.config.noise_shape, generator=torch.Generator().manual_seed(seed))


def at(tensor: Tensor | None, t: int) -> Tensor | None:
    return None if tensor is None else tensor[:, t]


def conv(inputs: int, outputs: int) -> int:
    """Parameters of a 3x3 convolution."""
    return 9 * inputs * outputs + outputs


def test_parameters_are_those_of_tables_b_to_e() -> None:
    net = make_network(StructureConfig(kind="structure", size=(64, 64)))
    encoder = conv(19, 64) + conv(64, 64) + conv(64, 128) + conv(128, 128) + conv(128, 256) + 2 * conv(256, 256) + conv(256, 128)
    gaussian = conv(128 + 256, 4 * 256) + conv(256, 2 * 128)
    predictor = conv(128 + 128 + 256, 4 * 256) + conv(256 + 256, 4 * 256) + conv(256, 128)
    coarse = conv(128 + 256, 256) + conv(256, 256) + conv(256, 128)
    decoder = coarse + conv(128 + 128, 128) + conv(128, 64) + conv(64 + 64, 64) + conv(64, 19)
    wanted = {"encoder": encoder, "posterior": gaussian, "prior": gaussian, "predictor": predictor, "decoder": decoder}
    assert {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()} == wanted
    # appendix C.1: one more block in the encoder and in the decoder for twice the size, the state as before
    larger = make_network(StructureConfig(kind="structure", size=(128, 128), scale=16))
    block = 3 * conv(256, 256) + coarse
    assert sum(p.numel() for p in larger.parameters()) == sum(wanted.values()) + block
    code, skips = larger.encode(torch.zeros(1, 128, 128, dtype=torch.uint8))
    assert code.shape == (1, 128, 8, 8) and [s.shape[1:] for s in skips][-1] == (256, 16, 16)


@torch.no_grad()
def test_at_scale_32_the_state_of_a_wide_map_is_two_blocks_further_in() -> None:
    net, *less = (network(size=(64, 96), scale=scale) for scale in (32, 16, 8))
    sizes = [sum(p.numel() for p in one.parameters()) for one in (net, *less)]
    assert sizes[0] - sizes[1] == sizes[1] - sizes[2] > 0
    labels = torch.from_numpy(np.random.default_rng(3).integers(0, 6, (1, CONTEXT, 64, 96), dtype=np.uint8))
    code, skips = net.encode(labels[:, 0])
    assert code.shape[-2:] == (2, 3) and [tuple(s.shape[-2:]) for s in skips] == [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
    logits = net(labels, None, None, 2, noise(net, 2, 2))
    assert logits.shape == (2, 2, 6, 64, 96) and logits.isfinite().all() and not torch.equal(logits[0], logits[1])


@torch.no_grad()
def test_the_cell_is_a_convolutional_lstm() -> None:
    """Shi 2015 without peepholes, gate by gate in float64."""
    torch.manual_seed(1)
    cell = ConvLstm(3, 5)
    weight, bias = cell.gates.weight.double(), cell.gates.bias.double()
    gates = {name: (weight[5 * i : 5 * i + 5], bias[5 * i : 5 * i + 5]) for i, name in enumerate("ifog")}
    assert (gates["f"][1] == 1).all()
    h, c = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 4, 6)
    slow_h, slow_c = h.double(), c.double()
    for _ in range(4):
        x = torch.randn(2, 3, 4, 6)

        def gate(name: str, x: Tensor = x, h: Tensor = slow_h) -> Tensor:
            w, b = gates[name]
            return conv2d(x.double(), w[:, :3], padding=1) + conv2d(h, w[:, 3:], padding=1) + b[:, None, None]

        slow_c = gate("f").sigmoid() * slow_c + gate("i").sigmoid() * gate("g").tanh()
        slow_h = gate("o").sigmoid() * slow_c.tanh()
        h, c = cell(x, h, c)
        assert torch.allclose(h.double(), slow_h, atol=1e-5) and torch.allclose(c.double(), slow_c, atol=1e-5)


def test_one_hot_maps() -> None:
    labels = maps(2, 1)[:, 0]
    got = network().one_hot(labels)
    assert got.shape == (2, 6, *SIZE)
    for b, y, x in np.ndindex(labels.shape):
        label = int(labels[b, y, x])
        assert got[b, :, y, x].tolist() == [float(c == label) for c in range(6)]
    assert torch.equal(network().one_hot(labels.long()), got)


@pytest.mark.parametrize("settings", FORMS)
@torch.no_grad()
def test_a_forecast_from_kept_encodings_is_the_forecast(settings: dict[str, Any]) -> None:
    net = network(**settings)
    clip, moved, flows = inputs(net, 1, 3)
    window, many = clip[:, :CONTEXT], noise(net, 4, 3)
    whole = net(window, moved, flows, 3, many)
    assert whole.shape == (4, 3, net.config.channels, *SIZE)
    kept = [net.encode(window[:, t], at(moved, t), at(flows, t)) for t in range(CONTEXT)]
    last = CONTEXT - 1
    rest = None if moved is None else moved[:, last:], at(flows, last), 3

    def forecast(encodings: list[Encoding], noise: Tensor) -> Tensor:
        return torch.stack(net.roll_out(encodings, *rest, noise), dim=1)

    assert torch.equal(forecast(kept, many), whole)
    # of the older maps only the codes are needed
    codes = [Encoding(e.code, []) for e in kept[:-1]] + kept[-1:]
    assert torch.equal(forecast(codes, many), whole)
    if net.config.form == "svg":  # N futures at once are N futures
        for i in range(4):
            assert torch.allclose(forecast(kept, many[i : i + 1])[0], whole[i], atol=1e-4)
        assert (whole[0] - whole[1]).abs().max() > 1e-3
    else:
        assert torch.allclose(whole, whole[:1].expand_as(whole), atol=1e-5)


@pytest.mark.parametrize("settings", FORMS)
@torch.no_grad()
def test_without_noise_it_is_the_priors_mean_and_always_the_same(settings: dict[str, Any]) -> None:
    net = network(**settings)
    clip, moved, flows = inputs(net, 2, 2)
    mean = net(clip[:, :CONTEXT], moved, flows, 2)
    assert torch.equal(net(clip[:, :CONTEXT], moved, flows, 2), mean)
    assert torch.equal(net(clip[:, :CONTEXT], moved, flows, 2, torch.zeros(2, 2, *net.config.noise_shape)), mean)


@torch.no_grad()
def test_noise_changes_nothing_before_its_step() -> None:
    net = network()
    window, one = maps(2, CONTEXT), noise(net, 2, 3)
    late = one.clone()
    late[:, 2] = noise(net, 2, 1, seed=5)[:, 0]
    changed = (net(window, None, None, 3, one) - net(window, None, None, 3, late)).abs().amax((0, 2, 3, 4))
    assert changed[0] == changed[1] == 0 < changed[2]


@pytest.mark.parametrize("settings", [{}, {"motion_prior": "dis"}, {"space": "soft"}, {"space": "rgb"}])
@torch.no_grad()
def test_a_rollout_is_the_modules_by_hand(settings: dict[str, Any]) -> None:
    """Section 2.1 in its own order, one map at a time: skips of the map before at every step, z from the prior."""
    net = network(**settings)
    clip, moved, flows = inputs(net, 1, 3)
    given = noise(net, 1, 3)
    assert net.prior is not None
    seen = [clip[:, t] if net.config.space == "rgb" else net.one_hot(clip[:, t]) for t in range(CONTEXT)]
    code, skips = net.encoder(seen[0], net._guess(at(moved, 0), at(flows, 0)))
    foretold, predicted, made = net.prior.start(code), net.predictor.start(code), []
    for t in range(1, CONTEXT + 3):  # t: the map that is made
        (mean, log_variance), foretold = net.prior(code, foretold)
        z = mean
        if t >= CONTEXT:
            z = mean + log_variance.exp().sqrt() * given[:, t - CONTEXT]
        g, predicted = net.predictor(code, z, predicted)
        if t >= CONTEXT:
            out = net.decoder(g, skips)
            if moved is not None:
                guess = net.one_hot(moved[:, t - 1])
                out = out[:, :-1] + (out[:, -1:] + 2).sigmoid() * 6 * guess
            made.append(out.sigmoid() if net.config.space == "rgb" else out)
            by_space = {"labels": net.one_hot(out.argmax(1)), "soft": out.softmax(1), "rgb": out.sigmoid()}
            seen.append(by_space[net.config.space])
        if t < CONTEXT + 2:
            code, skips = net.encoder(seen[t], net._guess(at(moved, t), at(flows, min(t, CONTEXT - 1))))
    assert torch.allclose(net(clip[:, :CONTEXT], moved, flows, 3, given), torch.stack(made, 1), atol=1e-5)


@torch.no_grad()
def test_the_arg_max_is_what_goes_on() -> None:
    """Perturbed by less than half its margin, a step's output changes nothing afterwards; with soft maps it does."""
    for space, stands in (("labels", True), ("soft", False)):
        net, window = network(space=space), maps(1, CONTEXT)
        plain = net(window, None, None, 3)
        best, second = plain.topk(2, dim=2).values.unbind(2)
        margin = float((best - second).min())
        assert margin > 0
        generator = torch.Generator().manual_seed(3)
        shake = (torch.rand(1, 6, *SIZE, generator=generator) - 0.5) * 0.9 * margin
        handle = net.decoder.register_forward_hook(lambda _module, _inputs, out, shake=shake: out + shake)
        shaken = net(window, None, None, 3) - shake[:, None]
        handle.remove()
        assert torch.allclose(shaken[:, 0], plain[:, 0], atol=1e-6)
        later = (shaken[:, 1:] - plain[:, 1:]).abs().max()
        assert later < 1e-6 if stands else later > 0, space


@pytest.mark.parametrize("settings", [{}, {"form": "lstm"}, {"space": "soft"}, {"scale": 16}])
@torch.no_grad()
def test_untrained_with_a_motion_prior_it_is_the_labels_moved_by_flow(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = {"kind": "structure", "size": SIZE, "width": 0.05, "context": CONTEXT, "classes": 6, "motion_prior": "dis"}
    net = StructureGenerator(StructureConfig(**config | settings))
    labels = maps(1, CONTEXT)[0].numpy()
    labels[labels == 255] = 2
    rng = np.random.default_rng(4)
    flows = rng.normal(0, 3, (CONTEXT, *SIZE, 2)).astype(np.float32)
    moved = guessed_labels(labels, flows, 4)
    window = torch.from_numpy(labels)[None]
    flow = torch.from_numpy(flows).permute(0, 3, 1, 2)[None]
    logits = net(window, torch.from_numpy(moved)[None], flow, 4, noise(net, 5, 4))
    assert (logits.argmax(2) == torch.from_numpy(moved[CONTEXT - 1 :])).all()


@pytest.mark.parametrize("settings", FORMS)
@torch.no_grad()
def test_teacher_forcing_is_step_by_step(settings: dict[str, Any]) -> None:
    net = network(**settings)
    clip, moved, flows = inputs(net, 2, 3)
    torch.manual_seed(7)
    taught = net.teach(clip, moved, flows)
    last = clip.shape[1] - 1
    torch.manual_seed(7)
    encoded = [net.encode(clip[:, t], at(moved, min(t, last - 1)), at(flows, min(t, CONTEXT - 1))) for t in range(last + 1)]
    states = {name: m.start(encoded[0].code) for name, m in net.named_children() if hasattr(m, "start")}
    if net.posterior is not None:
        _, states["posterior"] = net.posterior(encoded[0].code, states["posterior"])
    for t in range(1, last + 1):
        code, skips = encoded[t - 1]
        z = None
        if net.prior is not None and net.posterior is not None:
            prior, states["prior"] = net.prior(code, states["prior"])
            posterior, states["posterior"] = net.posterior(encoded[t].code, states["posterior"])
            z = draw(posterior, torch.randn_like(posterior[0]))
            for got, wanted in ((taught.prior, prior), (taught.posterior, posterior)):
                assert got is not None
                assert all(torch.allclose(a[:, t - 1], b, atol=1e-5) for a, b in zip(got, wanted, strict=True))
        g, states["predictor"] = net.predictor(code, z, states["predictor"])
        assert torch.allclose(taught.logits[:, t - 1], net.decode(g, skips, at(moved, t - 1)), atol=1e-4)
    assert taught.logits.shape == (2, last, net.config.channels, *SIZE)


@pytest.mark.parametrize("settings", [{"form": "lstm", "motion_prior": "dis"}, {"form": "cnn"}])
@torch.no_grad()
def test_taught_in_a_closed_loop_it_does_what_it_does_in_a_forecast(settings: dict[str, Any]) -> None:
    net = network(**settings)
    clip, moved, flows = inputs(net, 2, 3)
    taught = net.teach(clip, moved, flows, closed=True)
    assert taught.prior is None and taught.posterior is None
    assert torch.allclose(taught.logits, net(clip[:, :CONTEXT], moved, flows, 3), atol=1e-5)
    other = clip.clone()
    other[:, CONTEXT:] = 0  # the future is not looked at
    assert torch.equal(net.teach(other, moved, flows, closed=True).logits, taught.logits)


@pytest.mark.parametrize("settings", [{}, {"motion_prior": "dis"}, {"space": "rgb"}])
@torch.no_grad()
def test_in_a_closed_loop_only_the_posterior_sees_the_future(settings: dict[str, Any]) -> None:
    net = network(**settings)
    clip, moved, flows = inputs(net, 2, 3)
    torch.manual_seed(8)
    taught = net.teach(clip, moved, flows, closed=True)
    assert taught.logits.shape == (2, 3, net.config.channels, *SIZE) and taught.prior is not None
    assert taught.posterior is not None and taught.prior[0].shape == (2, 3, *net.config.noise_shape)
    torch.manual_seed(8)  # the same future by the forecast's own way, if its noise says what the posterior said
    drawn = torch.stack([torch.randn(2, *net.config.noise_shape) for _ in range(3)], 1)
    (mean, log_variance), z = taught.prior, draw(taught.posterior, drawn)
    as_noise = (z - mean) / (0.5 * log_variance).exp()
    assert torch.allclose(net(clip[:, :CONTEXT], moved, flows, 3, as_noise), taught.logits, atol=1e-3)
    changed = clip.clone()
    changed[:, CONTEXT + 1] = clip[:, 0]
    torch.manual_seed(8)
    again = net.teach(changed, moved, flows, closed=True)
    assert again.posterior is not None
    apart = (again.posterior[0] - taught.posterior[0]).abs().amax((0, 2, 3, 4))
    assert apart[0] == 0 < apart[1] and torch.equal(again.logits[:, 0], taught.logits[:, 0])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("settings", FORMS)
def test_gradients_reach_every_parameter(settings: dict[str, Any], closed: bool) -> None:
    net = network(**settings).train()
    taught = net.teach(*inputs(net, 2, 2), closed)
    loss = taught.logits.square().mean()
    if taught.prior is not None and taught.posterior is not None:
        loss = loss + sum(x.square().mean() for x in (*taught.prior, *taught.posterior))
    loss.backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_the_ablations_lack_what_they_leave_out() -> None:
    names = {form: {name for name, _ in network(form=form).named_children()} for form in ("svg", "lstm", "cnn")}
    assert names["svg"] - names["lstm"] == {"prior", "posterior"} and names["cnn"] == names["lstm"]
    assert isinstance(network(form="cnn").predictor, FeedForward)
    assert not any(isinstance(m, ConvLstm) for m in network(form="cnn").modules())
    for form in ("lstm", "cnn"):
        assert StructureConfig(kind="structure", form=form).noise_channels == 0
        assert not any("prior" in name or "posterior" in name for name, _ in network(form=form).named_parameters())


@torch.no_grad()
def test_the_cnn_sees_the_context_and_no_more() -> None:
    net, clip = network(form="cnn"), maps(1, CONTEXT + 2)
    taught = net.teach(clip, None, None).logits
    other = clip.clone()
    other[:, 0] = clip[:, 1]
    changed = (net.teach(other, None, None).logits - taught).abs().amax((0, 2, 3, 4)) > 0
    assert changed.tolist() == [True] * CONTEXT + [False]  # the maps that the first one is in the context of


@torch.no_grad()
def test_soft_maps_may_come_in() -> None:
    net, window = network(space="soft"), maps(1, CONTEXT)
    soft = net.one_hot(window[0]).reshape(1, CONTEXT, 6, *SIZE)
    assert torch.equal(net(soft, None, None, 2), net(window, None, None, 2))


def test_what_does_not_fit_is_refused() -> None:
    net, plain = network(motion_prior="dis"), network()
    clip, moved, flows = inputs(net, 1, 2)
    window = clip[:, :CONTEXT]
    with pytest.raises(ValueError, match="moved"):
        net(window, None, None, 2)
    with pytest.raises(ValueError, match="moved"):
        net(window, moved, flows, 3)
    with pytest.raises(ValueError, match="maps"):
        net(clip, moved, flows, 2)
    with pytest.raises(ValueError, match="nothing else"):
        plain(window, moved, flows, 2)
    with pytest.raises(ValueError, match="noise"):
        plain(window, None, None, 2, noise(plain, 1, 3))
    with pytest.raises(ValueError, match="noise"):
        plain(maps(2, CONTEXT), None, None, 2, noise(plain, 3, 2))
    with pytest.raises(ValueError, match="does not take"):
        plain(torch.rand(1, CONTEXT, 6, *SIZE), None, None, 2)
    with pytest.raises(ValueError, match="does not take"):
        network(space="rgb")(window, None, None, 2)
    with pytest.raises(ValueError, match="more than the context"):
        plain.teach(window, None, None)
    with pytest.raises(ValueError, match="encodings"):
        plain.roll_out([plain.encode(window[:, 0])], None, None, 2)
    with pytest.raises(ValidationError, match="no multiple of scale"):
        StructureConfig(kind="structure", size=(72, 128), scale=16)
    with pytest.raises(ValidationError, match="moves label maps"):
        StructureConfig(kind="structure", space="rgb", motion_prior="dis")
