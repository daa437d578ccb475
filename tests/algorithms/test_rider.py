"""RIDER and E-RIDER: what follows from their equations."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.erider import ERIDER
from crossweep.algorithms.rider import RIDER
from crossweep.algorithms.tiki_taka import BufferedTransfer
from crossweep.bench.basic import basic
from crossweep.engine.base import EngineParameters
from crossweep.engine.pulse_plan import UpdateParameters
from tests import expect
from tests.algorithms.rigs import DEVICES, factory, ideal, normal, soft

MANY = basic(UpdateParameters, pulse_type="deterministic_implicit", desired_bl=2000)
ENGINES = [basic(EngineParameters, level="count", backend=backend) for backend in ("reference", "cpu")]
on_both_engines = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.backend)
KEYS: dict[str, Any] = {"auto_granularity": 20.0, "in_chop_prob": 0.3, "tail_weightening": 2.0}


def built(rule: BufferedTransfer, engine: EngineParameters, device: Any, slow: Any = None) -> ChainWeight:
    weight = rule.build((4, 5), factory(device, slow, engine=engine))
    assert isinstance(weight, ChainWeight)
    return weight


def train(weight: ChainWeight, batches: int, lr: float = 0.3) -> None:
    for t in range(batches):
        weight.update(normal(t, 7, 5), normal(1000 + t, 7, 4), lr)


def hold(weight: ChainWeight, content: Tensor, samples: int) -> None:
    """Samples without a gradient, with A as it is written."""
    weight.fast.set_weight(content)
    weight.update(torch.zeros(samples, 5), torch.zeros(samples, 4), 0.1)


@on_both_engines
@pytest.mark.parametrize("device", ["soft_bounds", "relaxing", "pair"])
def test_erider_with_a_hidden_fast_tile_is_agad_state_by_state(device: str, engine: EngineParameters) -> None:
    rules = basic(AGAD, **KEYS), basic(ERIDER, gamma=0.0, **KEYS)
    agad, erider = (built(rule, engine, DEVICES[device]) for rule in rules)
    for weight in (agad, erider):
        weight.set_weight(0.2 * normal(77, 4, 5))
        train(weight, 20)
        weight.set_weight(0.1 * normal(78, 4, 5))  # averages stay where nothing of them is shown
        train(weight, 5)
    assert float(agad.slow.pulses_given.sum()) > 0
    for name, tensor in agad.named_buffers():
        assert torch.equal(tensor, dict(erider.named_buffers())[name]), name
    assert agad.counters() == erider.counters()


@on_both_engines
def test_erider_shows_the_fast_tile_less_its_reference(engine: EngineParameters) -> None:
    """``C + g c (A - Qt)``, where Qt becomes Q as soon as the chopper has flipped, before the column is read again."""
    weight = built(basic(ERIDER, gamma=0.2, out_chop_prob=0.5, **KEYS), engine, DEVICES["soft_bounds"])
    flips = 0
    for t in range(20):
        weight.update(normal(t, 7, 5), normal(1000 + t, 7, 4), 0.3)
        state = weight.states[0]
        reference = torch.where(state.switched.unsqueeze(-2), state.mean, state.past)
        signs = weight.chop_out.unsqueeze(-1) * weight.chop_in
        wanted = weight.slow.weight + 0.2 * signs * (weight.fast.weight - reference)
        torch.testing.assert_close(weight.weight, wanted)
        flips += int(state.switched.sum())
    assert flips > 5 and not torch.equal(weight.weight, weight.slow.weight)


@on_both_engines
def test_rider_tracks_what_it_reads_at_the_rate_eta(engine: EngineParameters) -> None:
    """Of a tile that holds still, what Q is off by shrinks by ``1 - eta`` at every read."""
    weight = built(basic(RIDER, reference_rate=0.2, transfer_io="perfect"), engine, ideal(0.01))
    content = torch.full((4, 5), 0.4)
    for reads in range(1, 5):
        hold(weight, content, 5)  # one read of each column
        torch.testing.assert_close(weight.states[0].mean, content * (1 - 0.8**reads))
    torch.testing.assert_close(weight.weight - weight.slow.weight, 0.1 * content * 0.8**4)


@on_both_engines
def test_what_rider_has_written_is_what_its_reference_has_moved(engine: EngineParameters) -> None:
    """``C - C_0 = transfer_lr / eta (Q - Q_0)``, with what is still in the buffer, whatever the gradients were."""
    step, eta = 1e-4, 0.25
    rule = basic(
        RIDER,
        reference_rate=eta,
        forget_buffer=False,
        transfer_update=MANY,
        scale_transfer_lr=False,
        transfer_lr=0.02,
    )
    weight = built(rule, engine, soft(0.02), ideal(step))
    train(weight, 12)
    state, scale = weight.states[0], 0.02 / 0.02  # of H: transfer_lr over the step of A
    written = weight.slow.weight / step + state.held
    assert float(written.abs().max()) > 0.1
    torch.testing.assert_close(written, scale / eta * state.mean, atol=1e-3, rtol=1e-3)


@on_both_engines
@pytest.mark.parametrize(
    "rule", [basic(RIDER, gamma=0.0), basic(ERIDER, gamma=0.0, in_chop_prob=0.05)], ids=["rider", "erider"]
)
def test_the_reference_finds_the_symmetry_point_where_the_gradient_is_noise(
    rule: BufferedTransfer, engine: EngineParameters
) -> None:
    """Pulses in both directions at random draw A to its symmetry point, here 0.3 off; Q averages what is read of it.

    With relative steps u and random directions A is stationary around the point with a standard deviation of at most
    ``sqrt(u / 2)``: devices do not share their content, and Q is no noisier than one read.
    """
    u = 0.05
    rule = replace(rule, transfer_io="perfect", update=basic(UpdateParameters, desired_bl=31))
    weight = rule.build((20, 20), factory(soft(u), engine=engine, skew=0.3))
    assert isinstance(weight, ChainWeight)
    for t in range(30):
        weight.update(normal(t, 20, 20), normal(500 + t, 20, 20), 0.1)
    found = weight.states[0].mean
    assert float((found - 0.3).abs().mean()) < 0.2
    expect.mean(found, 0.3, std=(u / 2) ** 0.5, detects=0.07)
