"""How rare flips must be for the fast tile to turn round between them."""

from dataclasses import replace
from math import ceil

import pytest

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.moment import Moment
from crossweep.bench.basic import basic
from crossweep.devices.constant_step import ConstantStep
from crossweep.engine.io_parameters import IOParameters
from crossweep.errors import FieldError
from tests.algorithms.catalogue import load

IO = basic(IOParameters)


def moment(states: int, columns: int, lr: float = 0.1) -> Moment:
    device = basic(ConstantStep, dw_min=2 / states, w_max=1.0, w_min=-1.0)
    return Moment(
        devices=(device, device), slices=columns, length=8, batch=16, lr=lr, gradient=0, shares=(0.0, 1.0),
        forward_io=IO, backward_io=IO,
    )  # fmt: skip


def rule(name: str, **changes: object) -> Chopped:
    made = load(name)
    assert isinstance(made, Chopped)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("states", [20, 200, 1000])
@pytest.mark.parametrize("columns", [4, 32, 1024])
@pytest.mark.parametrize("every", [1.0, 3.0])
def test_samples_between_flips_are_so_many_turns_of_a(states: int, columns: int, every: float) -> None:
    chopped = rule("tt_adam", in_chop_turns=20.0, in_chop_prob=0.1, transfer_every=every)
    turn = states / 5  # samples in which five pulses each take A from bound to bound
    wanted = min(0.1, every * columns / (20 * turn))
    assert chopped.chopper(moment(states, columns)).probability == pytest.approx(wanted)


def test_a_turn_follows_the_pulses_that_are_wanted() -> None:
    def turn(**changes: object) -> float:
        """Samples from bound to bound, by the flips of a column that is read at every sample."""
        chopped = rule("tt_adam", in_chop_turns=20.0, in_chop_prob=1.0, **changes)
        return 1 / (20 * chopped.chopper(moment(200, 1)).probability)

    assert turn() == pytest.approx(40)
    assert turn(fast_lr=0.5) == pytest.approx(80)
    assert turn(fast_change=0.1) == pytest.approx(20)
    assert turn(scale_fast_lr=True) == pytest.approx(400)


def test_without_turns_flips_are_as_given() -> None:
    assert rule("cttv2").chopper(moment(1000, 4)).probability == rule("cttv2").in_chop_prob


def test_agad_s_reference_and_silence_follow_the_flips() -> None:
    chopped, now = rule("agad", in_chop_turns=20.0), moment(1000, 32)
    assert isinstance(chopped, AGAD)
    period = ceil(20 * (1000 / chopped.update.desired_bl) / 32)
    made = chopped.what(0, now)
    assert made.silent_passes == period + 1 and made.past == pytest.approx(5 / period)


@pytest.mark.parametrize("changes", [{"auto_scale": False}, {"fast_lr": 0.0}])
def test_turns_need_to_know_the_pulses(changes: dict[str, object]) -> None:
    with pytest.raises(FieldError, match=r"^in_chop_turns, \.auto_scale, \.fast_lr: turns are counted in"):
        rule("cttv2", in_chop_turns=5.0, **changes)
