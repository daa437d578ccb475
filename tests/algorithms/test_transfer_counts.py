"""Pulses of one transfer: the short form for trains without chance, against the pulse rule itself."""

import pytest
import torch
from scipy import stats

from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.bench.updates import DEVICES
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.io_parameters import PERFECT
from crossweep.engine.program import Buffered, Pulses
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.engine.slice_pulses import pulse_counts, train_counts
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from tests import expect
from tests.algorithms.rigs import COUNT


@pytest.mark.parametrize("step", [1.0, 0.3, 3.4, 12.0])
@pytest.mark.parametrize("short", [True, False], ids=["short_trains", "long_trains"])
def test_all_wanted_pulses_happen_up_to_the_length_of_the_train(step: float, short: bool) -> None:
    update = basic(
        UpdateParameters,
        pulse_type="deterministic_implicit",
        desired_bl=31,
        update_management=True,
        update_bl_management=short,
    )
    write = Pulses(step=step, update=update)
    n = torch.randint(-31, 32, (40, 9), generator=torch.Generator().manual_seed(0)).float()
    for as_input in (False, True):
        if as_input and step > 1:
            assert not write.is_exact(rows=as_input)
            continue
        assert write.is_exact(rows=as_input)
        given = pulse_counts(made(COUNT), n, write, Stream(1), rows=as_input)
        by_rule = train_counts(made(COUNT), n, step, 1.0, update, Stream(1), as_input=as_input)
        # a product that is a hair off a half may be rounded the other way
        halves = (step * n.abs() % 1 - 0.5).abs() < 1e-4
        torch.testing.assert_close(given[~halves], by_rule[~halves])
        assert float(given.abs().max()) == min(31, round(step * 31))


@pytest.mark.parametrize(
    "update",
    [
        basic(UpdateParameters, desired_bl=31),
        basic(UpdateParameters, pulse_type="deterministic_implicit", desired_bl=31, update_management=False),
        basic(UpdateParameters, pulse_type="deterministic_implicit", desired_bl=31, res=0.1),
    ],
    ids=["drawn", "unmanaged", "binned"],
)
def test_trains_with_chance_or_rounding_have_no_short_form(update: UpdateParameters) -> None:
    assert not Pulses(step=2.0, update=update).is_exact(rows=False)


@pytest.mark.parametrize(
    ("step", "states", "expected"), [(None, 10_000, 4.0), (None, 50, 1.0), (2.5, 10_000, 2.5)]
)
def test_fine_devices_make_several_steps_per_transfer(
    step: float | None, states: int, expected: float
) -> None:
    device, io = basic(ConstantStep, n_states=states), PERFECT
    factory = TileFactory(
        fast=DEVICES["reram_sb"], slow=device, symmetry_point=basic(SymmetryPoint), engine=COUNT, forward=io,
        backward=io, population=Stream(1), draws=Stream(2),
    )  # fmt: skip
    weight = basic(TTv2, step=step).build((3, 4), factory)
    what = weight.program(1, 0.1).transfers[0].what
    assert isinstance(what, Buffered) and what.write.step == pytest.approx(expected)


@pytest.mark.parametrize("as_input", [False, True])
@pytest.mark.parametrize("bl", [5, 31, 70])
def test_drawn_transfers_are_binomial_and_alike_compiled_and_in_torch(bl: int, as_input: bool) -> None:
    """In every slot both lines pulse, or not: counts are binomial, the strongest value gets what is wanted on average."""
    update = basic(UpdateParameters, desired_bl=bl, update_bl_management=False)
    values = torch.tensor([1.0, -0.5, 0.25, 0.0, 0.7]).unsqueeze(-1).expand(5, 40_000)
    wanted = 4.0
    compiled, plain = (
        train_counts(
            made(basic(EngineParameters, backend=backend)),
            values,
            wanted,
            1.0,
            update,
            Stream(seed),
            as_input=as_input,
        )
        for seed, backend in ((1, "cpu"), (2, "reference"))
    )
    for row, value in enumerate(values[:, 0].tolist()):
        drawn, p = compiled[row], abs(value) * wanted / bl
        if value == 0:
            assert not drawn.any()
            continue
        assert (drawn * value >= 0).all()
        both = stats.binom(bl, p)
        expect.mean(drawn.abs(), both.mean(), std=both.std(), detects=0.1)
        expect.variance(drawn, both.var(), detects=0.2, kurtosis=3 + float(both.stats("k")))
        expect.same_distribution(drawn, plain[row])
