"""What every training rule owes: every option of the configuration, on single devices and several per weight, at
three levels of the engine.
"""

import copy
import dataclasses
from dataclasses import replace
from functools import cache
from math import ceil, log
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.tiki_taka import TikiTaka
from crossweep.algorithms.zero_shifting import ZeroShifting
from crossweep.bench.basic import basic
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine import chain
from crossweep.engine.base import EngineParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.errors import ConfigError, ShapeError
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory
from tests import expect
from tests.algorithms.catalogue import NAMES, load
from tests.algorithms.rigs import COUNT, DEVICES, EXACT, MEAN, PULSE, factory, ideal, normal
from tests.tables import entry, in_pairs

ENGINES: dict[str, EngineParameters] = {
    "pulse": PULSE,
    "count": COUNT,
    "mean": MEAN,
}
ANALOG = [name for name in NAMES if name != "digital"]
SHAPE = (4, 5)
# transfers often enough to see them within a few mini-batches, and random as well as regular parts at work
QUICK = {
    "auto_granularity": 20.0,
    "in_chop_prob": 0.34,
    "in_chop_turns": 0.0,
    "out_chop_prob": 0.3,
    "lr_scale": 1.0,
}


@cache
def rule(name: str) -> AbstractAlgorithm:
    """The option, hurried up; a calibration with a small budget."""
    if name == "zero_shifting":
        return load(name, "algorithm.pulses=20", "algorithm.then.auto_granularity=20.0")
    made = load(name)
    keys = {key: value for key, value in QUICK.items() if key in type(made).__dataclass_fields__}
    if getattr(made, "normalise", "none") != "none":  # no granularity, but a rate
        keys |= {"auto_granularity": 0.0, "transfer_lr": 1.0}
    return type(made)(**(vars(made) | keys))


def build(name: str, device: str, engine: str, *lead: int, seed: int = 1) -> tuple[AnalogWeight, TileFactory]:
    if name == "zero_shifting" and device in ("constant_step", "pair"):
        pytest.skip("no symmetry point to find")
    made = factory(DEVICES[device], engine=ENGINES[engine], seed=seed)
    weight = rule(name).build((*lead, *SHAPE), made)
    weight.set_weight(0.2 * normal(77, *SHAPE))
    return weight, made


def train(weight: AnalogWeight, updates: range, *lead: int, lr: float = 0.3) -> None:
    """Mini-batches of seven samples: no multiple of any period."""
    for t in updates:
        weight.update(normal(t, *lead, 7, 5), normal(1000 + t, *lead, 7, 4), lr)


def state(weight: AnalogWeight) -> dict[str, Any]:
    return {key: value.clone() for key, value in weight.state_dict().items() if isinstance(value, Tensor)}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


every = pytest.mark.parametrize("name", ANALOG)
everywhere = in_pairs("name, device, engine", ANALOG, DEVICES, tuple(ENGINES))


@pytest.mark.few(each="name device engine")
@everywhere
def test_save_and_load_continue_with_the_same_bits(name: str, device: str, engine: str) -> None:
    weight, made = build(name, device, engine)
    start = state(weight)
    train(weight, range(4))
    assert not same(start, state(weight))
    saved, streams = copy.deepcopy(weight.state_dict()), copy.deepcopy(made.draws.state_dict())
    train(weight, range(4, 8))
    again, fresh = build(name, device, engine, seed=1)
    train(again, range(2))  # some other state
    again.load_state_dict(saved)
    fresh.draws.load_state_dict(streams)
    train(again, range(4, 8))
    assert same(state(weight), state(again))
    assert weight.counters()["tally"] == again.counters()["tally"]


@pytest.mark.few(each="name device engine")
@everywhere
def test_weights_move_stay_finite_and_within_reach(name: str, device: str, engine: str) -> None:
    weight, _ = build(name, device, engine)
    before = weight.weight.clone()
    x, d = normal(1, 7, 5), normal(2, 7, 4)
    kept = x.clone(), d.clone()
    for _ in range(6):
        weight.update(x, d, 0.3)
    assert torch.equal(x, kept[0]) and torch.equal(d, kept[1])  # inputs untouched
    assert not torch.equal(weight.weight, before)
    for tile in weight.tiles().values():
        cells = tile.cells
        assert bool(torch.isfinite(tile.state).all())
        assert bool(((tile.state >= cells.w_min) & (tile.state <= cells.w_max)).all())
        assert engine == "mean" or tile.pulses == round(tile.pulses)  # mean counts expected ones


@pytest.mark.few(each="name device engine")
@in_pairs("name, device, engine", ANALOG, ("soft_bounds", "cells", "pair"), tuple(ENGINES))
def test_leading_dimensions_are_independent_crossbars(name: str, device: str, engine: str) -> None:
    weight, _ = build(name, device, engine, 2, 3)
    assert weight.weight.shape == (2, 3, *SHAPE)
    train(weight, range(4), 2, 3)
    flat = weight.weight.flatten(0, 1)
    assert all(not torch.equal(flat[i], flat[j]) for i in range(6) for j in range(i))
    assert weight.read(normal(1, 2, 3, 7, 5)).shape == (2, 3, 7, 4)
    assert weight.read_transposed(normal(1, 2, 3, 7, 4)).shape == (2, 3, 7, 5)


@every
def test_an_instance_does_not_see_its_neighbours_gradient(name: str) -> None:
    """Instance 0 gets no signal: nothing is pulsed there, whatever happens in instance 1."""
    weight, _ = build(name, "soft_bounds", "count", 2)
    quiet = {key: tile.state[0].clone() for key, tile in weight.tiles().items()}
    for t in range(4):
        x, d = normal(t, 2, 7, 5), normal(50 + t, 2, 7, 4)
        d[0] = 0
        weight.update(x, d, 0.3)
    assert all(torch.equal(tile.state[0], quiet[key]) for key, tile in weight.tiles().items())
    assert any(not torch.equal(tile.state[1], quiet[key]) for key, tile in weight.tiles().items())


@every
def test_the_same_seed_gives_the_same_bits_and_another_does_not(name: str) -> None:
    weights = [build(name, "soft_bounds", "count", seed=seed)[0] for seed in (1, 1, 2)]
    for weight in weights:
        train(weight, range(5))
    assert same(state(weights[0]), state(weights[1]))
    assert not same(state(weights[0]), state(weights[2]))


@every
def test_zero_rate_changes_nothing(name: str) -> None:
    weight, _ = build(name, "soft_bounds", "count")
    before, counters = copy.deepcopy(state(weight)), copy.deepcopy(weight.counters())
    train(weight, range(3), lr=0.0)
    assert same(before, state(weight)) and counters == weight.counters()


@every
def test_set_weight_shows_that_weight(name: str) -> None:
    weight, _ = build(name, "soft_bounds", "count")
    train(weight, range(5))
    wanted = 0.1 * normal(5, *SHAPE)
    weight.set_weight(wanted)
    last = list(weight.tiles().values())[-1]  # the tile that takes it; its devices show what they can
    low, high = last.cells.w_min - last.reference, last.cells.w_max - last.reference
    torch.testing.assert_close(weight.weight, torch.minimum(torch.maximum(wanted, low), high))
    assert float((weight.weight - wanted).abs().median()) < 1e-6


@every
def test_shapes_that_do_not_fit_are_refused(name: str) -> None:
    weight, _ = build(name, "soft_bounds", "count")
    with pytest.raises(ShapeError):
        weight.update(normal(1, 7, 4), normal(2, 7, 4), 0.1)
    with pytest.raises(ShapeError):
        weight.update(normal(1, 7, 5), normal(2, 6, 4), 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_options_explain_every_key(name: str) -> None:
    """Built objects carry exactly the keys of the option, so that no key is dead and none is missing."""
    made = load(name)
    from tests.algorithms.catalogue import settings

    keys = set(settings(name)) - {"_target_"}
    assert keys == set(type(made).__dataclass_fields__)


# -- follows the gradient --------------------------------------------------------------------------

LONG = {"update": basic(UpdateParameters, desired_bl=200)}  # a mini-batch may ask for more than 31 steps
SLOWLY = {"transfer_lr": 0.01, "scale_transfer_lr": False, "scale_fast_lr": False}
# settings under which the slow weight of each rule has moved clearly but is far from its bounds
FOLLOWS: dict[str, dict[str, Any]] = {
    "analog_sgd": {}, "mixed_precision": LONG, "mixed_precision_adamw": LONG, "ttv2": {}, "zero_shifting": {},
    # a constant-step tile forgets nothing, so its content cancels over two chopper phases: flip seldom
    "cttv2": {"in_chop_prob": 0.01}, "agad": {"in_chop_prob": 0.05},
    "ttv1": SLOWLY, "residual_learning": SLOWLY, "rlv2": SLOWLY, "mrl": SLOWLY,
    "rider": {"reference_rate": 0.001}, "erider": {"in_chop_prob": 0.05},
    # a least root far above all reads: nothing is left of the geometry of Adam
    "tt_adam": {"transfer_lr": 1e3, "eps": 1e5, "in_chop_prob": 0.01},
    "agad_adam": {"transfer_lr": 1e3, "eps": 1e5, "in_chop_prob": 0.05},
}  # fmt: skip


@pytest.mark.few(8)
@every
def test_ideal_devices_with_tiny_steps_follow_digital_sgd(name: str) -> None:
    """Without any non-ideality the weight moves along ``-d x^T``: its change is collinear with SGD's.

    In-memory SGD and mixed precision give the same change; the others a multiple of it that grows in time.
    """
    where, what = (
        "FOLLOWS in tests/contracts/test_algorithms.py",
        "settings with which its weight moves, but not far",
    )
    changes = entry(FOLLOWS, name, where, what)
    made = rule(name)
    if isinstance(made, ZeroShifting):
        made = made.then
    often = {"transfer_every": 5, "fast_change": 0.0} if isinstance(made, TikiTaka) else {}
    wanted = {"out_chop_prob": 0.0} | often | changes
    keys = {key: value for key, value in wanted.items() if key in type(made).__dataclass_fields__}
    made = type(made)(**(vars(made) | keys))
    step, rate, updates, batch = 2e-4, 6e-4, 60, 50
    weight = made.build(SHAPE, factory(ideal(step)))
    pattern, total = normal(3, *SHAPE), torch.zeros(SHAPE)
    for t in range(updates):
        x = normal(t, batch, 5)
        d = 0.2 * x @ pattern.T
        weight.update(x, d, rate)
        total -= rate * d.T @ x
    change = weight.weight
    cosine = float((change * total).sum() / change.norm() / total.norm())
    if name in ("analog_sgd", "mixed_precision"):
        # what remains is the trains' own noise, at most sqrt(pulses) steps, and one step of the accumulator
        pulses = float(total.abs().max()) / step
        assert pulses > 1000
        assert float((change - total).abs().max()) < 5 * step * (1 + pulses**0.5)
    # 20 weights: uncorrelated vectors have cosines of 0.22
    assert cosine > 0.9, f"cosine {cosine:.3f}"


@pytest.mark.parametrize("name", ["cttv2", "agad", "erider"])
def test_flipping_all_choppers_leaves_the_expected_update(name: str) -> None:
    """On a symmetric device with the same pulses, choppers all inverted give -A, and the very same H and
    C.
    """
    made = rule(name)
    changes = {"out_chop_prob": 0.0, "in_chop_random": False, "in_chop_prob": 0.34}
    # few pulses: at a bound sums round differently for the two signs
    made = type(made)(**(vars(made) | changes | {"update": basic(UpdateParameters, desired_bl=5)}))
    weights = [made.build((2, *SHAPE), factory(ideal(0.02))) for _ in range(2)]
    assert all(isinstance(weight, ChainWeight) for weight in weights)
    weights[1].chop_in = -weights[1].chop_in
    for weight in weights:
        train(weight, range(12), 2)
    plain, flipped = (dict(weight.named_buffers()) for weight in weights)
    assert torch.equal(plain["fast.state"], -flipped["fast.state"])
    assert float(plain["slow.pulses_given"].sum()) > 0
    assert torch.equal(plain["slow.state"], flipped["slow.state"])
    torch.testing.assert_close(weights[0].weight, weights[1].weight)
    held = "transfer_0.held"
    assert torch.equal(plain[held], flipped[held])


def test_buffer_in_is_transferred_plus_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the remainder kept, what the reads put into H is what is in it plus one threshold per pulse of
    C.
    """
    made = basic(CTTv2,
        auto_granularity=20.0, forget_buffer=False, in_chop_prob=0.2, transfer_lr=0.3,
        scale_transfer_lr=False, transfer_update=basic(UpdateParameters, desired_bl=20,
        pulse_type="deterministic_implicit"),
    )  # fmt: skip
    step = 1e-4
    weight = made.build(SHAPE, factory(ideal(0.02), ideal(step)))
    put_in = torch.zeros(SHAPE)
    digest = chain.digest

    def counted(what: Any, read: chain.Read, state: Any) -> Tensor:
        put_in[..., read.columns] += read.chopped(read.value * read.scale)
        return digest(what, read, state)

    monkeypatch.setattr(chain, "digest", counted)
    train(weight, range(10))
    pulses = weight.slow.weight / step
    assert float(pulses.abs().max()) > 3
    torch.testing.assert_close(put_in, weight.states[0].held + pulses, atol=1e-3, rtol=1e-4)


@every
def test_rules_with_the_same_seed_have_the_same_devices(name: str) -> None:
    """Common random numbers: rules, chains included, are compared on the same fast and slow crossbars."""
    weight, _ = build(name, "soft_bounds", "count")
    wanted = basic(CTTv2).build(SHAPE, factory(DEVICES["soft_bounds"])).tiles()
    shared = weight.tiles().keys() & wanted.keys()
    assert shared or set(weight.tiles()) == {"single"}
    for role in shared:
        for one, other in zip(
            weight.tiles()[role].cells.tensors().values(), wanted[role].cells.tensors().values(), strict=True
        ):
            assert torch.equal(one, other)


# -- zero-shifting ---------------------------------------------------------------------------------


def spread_out(**keys: Any) -> SoftBounds:
    spreads = {"up_down_dtod": 0.2, "w_max_dtod": 0.2, "w_min_dtod": 0.2}
    return basic(SoftBounds, **(EXACT | {"dw_min": 0.05} | spreads | keys))


@pytest.mark.parametrize("pulses", [0, 20, 200])
def test_zero_shifting_approaches_the_symmetry_point_as_it_should(pulses: int) -> None:
    """From mid-range, the distance to the two-cycle shrinks by ``(1 - u)(1 - q)`` per pair of pulses."""
    device = spread_out()
    weight = basic(ZeroShifting, then=rule("cttv2"), pulses=pulses).build((20, 20), factory(device))
    tile = weight.tiles()["fast"]
    cells = tile.cells
    u, q = cells.step_up / cells.w_max, cells.step_down / -cells.w_min
    cycle = ((1 - q) * cells.step_up - cells.step_down) / (u + q - u * q)  # value after the down pulse
    expected = cycle * (1 - ((1 - u) * (1 - q)) ** (pulses // 2))
    torch.testing.assert_close(tile.reference, expected, atol=1e-5, rtol=1e-4)
    assert tile.pulses == pulses * 400
    assert torch.equal(tile.weight, torch.zeros_like(tile.weight))


def shifted(step: float, pulses: int, noise: float = 0.0) -> tuple[AnalogTile, Tensor]:
    """A calibrated tile of many devices with symmetry points around 0.3, and these points."""
    device = spread_out(dw_min=step, up_down=0.46, dw_min_std=noise)
    tile = (
        basic(ZeroShifting, then=rule("cttv2"), pulses=pulses)
        .build((60, 60), factory(device))
        .tiles()["fast"]
    )
    point = device.symmetry_point(tile.cells)
    assert point is not None
    return tile, point


@pytest.mark.few(2)
@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("step", [0.05, 0.01])
def test_zero_shifting_stays_below_the_bound_of_theory(step: float, noise: float) -> None:
    """``E |W_N - W*|^2 <= (1 - 2 dw mu)^N |W_0 - W*|^2 + dw q_max^2 / mu``: ``dw mu`` is the mean slope of both steps, ``dw
    q_max`` the largest step. Xiao et al., arXiv 2602.21321 (ICML 2026), on zero-shifting."""
    for pulses in (0, 10, 40, 160, 640):
        tile, point = shifted(step, pulses, noise)
        cells = tile.cells
        slope = (cells.step_up / cells.w_max - cells.step_down / cells.w_min) / 2
        largest = torch.maximum(
            cells.step_up * (1 - cells.w_min / cells.w_max), cells.step_down * (1 - cells.w_max / cells.w_min)
        )
        bound = (1 - 2 * slope) ** pulses * point.square() + largest.square() / slope
        assert float((tile.reference - point).square().mean()) <= float(bound.mean()), pulses


def test_zero_shifting_needs_the_pulses_of_theory_and_no_more() -> None:
    """``N >= ln(2 |W_0 - W*|^2 / delta) / (2 mu dw)`` are enough for a mean square error of delta, where the floor, ``dw
    q_max^2 / mu``, is at most half of it; a tenth of them are not."""
    step, delta = 0.002, 0.025
    device = basic(SoftBounds, **(EXACT | {"dw_min": step, "up_down": 0.46}))
    tile = basic(ZeroShifting, then=rule("cttv2"), pulses=0).build((2, 2), factory(device)).tiles()["fast"]
    point = device.symmetry_point(tile.cells)
    assert point is not None
    slope = float((tile.cells.step_up + tile.cells.step_down).mean()) / 2  # bounds of one
    start = float(point.square().mean())
    assert (2 * step) ** 2 / slope <= delta / 2
    enough = log(2 * start / delta) / (2 * slope)
    for share, close in ((1.0, True), (0.1, False)):
        pulses = 2 * ceil(share * enough / 2)
        found = (
            basic(ZeroShifting, then=rule("cttv2"), pulses=pulses)
            .build((2, 2), factory(device))
            .tiles()["fast"]
        )
        assert (float((found.reference - point).square().mean()) <= delta) is close


def test_two_stages_find_the_point_and_then_train_relative_to_it() -> None:
    """Zero-shifting, then residual learning: what is left of the symmetry point no longer moves an idle weight."""
    off = {}
    for pulses in (0, 400):
        then = replace(rule("residual_learning"), transfer_io="perfect")  # type: ignore[call-arg]
        device = spread_out(dw_min=0.02, up_down=0.46)
        weight = basic(ZeroShifting, then=then, pulses=pulses).build((10, 10), factory(device))
        for t in range(30):  # a gradient that is noise alone
            weight.update(normal(t, 20, 10), normal(500 + t, 20, 10), 0.1)
        off[pulses] = abs(float(weight.tiles()["fast"].weight.mean()))
    assert off[400] < 0.3 * off[0]


def test_zero_shifting_pulses_every_device_of_a_cell() -> None:
    device = dataclasses.replace(spread_out(), n_devices=2, update_policy="single_sequential")
    tile = (
        basic(ZeroShifting, then=rule("cttv2"), pulses=200).build((20, 20), factory(device)).tiles()["fast"]
    )
    point = device.symmetry_point(tile.cells)
    assert point is not None
    off = tile.reference - point
    assert off.shape == (2, 20, 20)
    assert bool((off.abs() < torch.maximum(tile.cells.step_up, tile.cells.step_down)).all())
    assert tile.pulses == 200 * 2 * 400


def test_zero_shifting_keeps_skew_and_variability_as_programming_errors() -> None:
    device = spread_out(dw_min=0.01)
    weight = basic(ZeroShifting, then=rule("cttv2"), pulses=2000).build(
        (80, 80), factory(device, skew=0.2, variability=0.1)
    )
    tile = weight.tiles()["fast"]
    point = tile.device.symmetry_point(tile.cells)
    assert point is not None
    off = point - tile.reference
    expect.mean(off, 0.2 + 0.005, std=0.1, detects=0.012)  # half a step lies below the point
    expect.variance(off, 0.01, detects=0.15)


def test_zero_shifting_needs_a_symmetry_point_and_an_even_budget() -> None:
    with pytest.raises(ConfigError, match="needs a symmetry point, and ConstantStep has none"):
        basic(ZeroShifting, then=rule("ttv2")).build(SHAPE, factory(ideal(0.01)))
    with pytest.raises(ConfigError, match="must be even"):
        basic(ZeroShifting, then=rule("ttv2"), pulses=3)
    with pytest.raises(ConfigError, match="must be a rule with tiles"):
        basic(ZeroShifting, then=load("digital"))


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("cttv2", "in_chop_prob=1.5", r"in_chop_prob: must be a number in \[0, 1\], got 1.5"),
        ("cttv2", "out_chop_prob=-0.1", r"out_chop_prob: must be a number in \[0, 1\], got -0.1"),
        ("agad", "in_chop_prob=0.0", r"in_chop_prob: must be > 0 for AGAD, got 0.0"),
        ("agad", "tail_weightening=0.0", r"tail_weightening: must be a number > 0, got 0.0"),
        ("ttv2", "momentum=2.0", r"momentum: must be a number in \[0, 1\], got 2.0"),
        ("ttv2", "step=0.0", r"step: must be a number > 0 or null, got 0.0"),
        ("ttv2", "transfer_every=0.0", r"transfer_every: must not be 0, got 0"),
        ("ttv2", "buffer_granularity=0.0", r"buffer_granularity: must be a number > 0, got 0.0"),
        ("ttv1", "n_tiles=1", r"n_tiles: must be a whole number in \[2, 20\], got 1"),
        ("ttv1", "gamma_vec=[0.1]", r"gamma_vec: must hold 2 numbers, got \[0.1\]"),
        ("mrl", "gamma=1.0", r"gamma: must be a number in \(0, 1\), got 1.0"),
        ("rlv2", "buffer_rate=0.0", r"buffer_rate: must be a number in \(0, 1\], got 0.0"),
        ("rider", "reference_rate=2.0", r"reference_rate: must be a number in \(0, 1\], got 2.0"),
        ("mixed_precision", "transfer_every=0", r"transfer_every: must be a whole number >= 1, got 0"),
        ("mixed_precision", "n_x_bins=1", r"n_x_bins: must be 0 or a whole number >= 2, got 1"),
    ],
)
def test_messages_name_the_key_the_rule_and_the_value(name: str, override: str, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        load(name, f"algorithm.{override}")
    causes = (caught.value, caught.value.__cause__)
    assert any(isinstance(cause, ConfigError) for cause in causes)
