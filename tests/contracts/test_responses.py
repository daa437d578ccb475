"""A device is its response: who changes that changes what every level and every implementation does."""

from dataclasses import replace

import pytest
import torch

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.piecewise_step import PiecewiseStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.response import Affine, Exponential, General, Power, Response, Table, step
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.choose import Backend
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile, TileParameters
from tests.algorithms.rigs import EXACT, normal
from tests.contracts.test_algorithms import ENGINES

FINE = EXACT | {"dw_min": 2e-4}  # so small that nothing saturates
UPDATE = basic(UpdateParameters, desired_bl=15)


def twice(law: Response) -> Response:
    """Steps of double size."""
    match law:
        case Affine():
            double = {name: 2 * getattr(law, name) for name in ("up", "down", "slope_up", "slope_down")}
            return replace(law, **double)
        case Exponential() | Power():
            return replace(law, unit_up=2 * law.unit_up, unit_down=2 * law.unit_down)
        case Table():
            return replace(law, gain_up=2 * law.gain_up, gain_down=2 * law.gain_down)
        case General():
            return replace(law, up=lambda v: 2 * law.up(v), down=lambda v: 2 * law.down(v))


class TwiceSoft(SoftBounds):
    def response(self, cells: Cells) -> Response:  # type: ignore[override]
        return twice(super().response(cells))


class TwiceExponential(ExpStep):
    def response(self, cells: Cells) -> Response:  # type: ignore[override]
        return twice(super().response(cells))


class TwiceNodes(PiecewiseStep):
    def response(self, cells: Cells) -> Response:  # type: ignore[override]
        return twice(super().response(cells))


class TwicePower(PowStep):
    def response(self, cells: Cells) -> Response:  # type: ignore[override]
        return twice(super().response(cells))


class Formula(SoftBounds):
    """Soft bounds as a stranger would write them."""

    def response(self, cells: Cells) -> Response:  # type: ignore[override]
        own = super().response(cells)
        return General(
            up=lambda v: step(own, v, up=True), down=lambda v: step(own, v, up=False), noise=own.noise
        )


def moved(device: AbstractDevice, level: str, backend: Backend) -> tuple[torch.Tensor, torch.Tensor]:
    """What one update, and then known pulses, change."""
    engine = replace(ENGINES[level], backend=backend)
    parts = TileParameters(
        device=device, symmetry_point=basic(SymmetryPoint, subtract=False), engine=made(engine)
    )
    tile = AnalogTile((33, 20), parts, population=Stream(1), draws=Stream(2))
    tile.set_weight(torch.full((33, 20), 0.1))
    start = tile.weight
    plan = plan_pulses(normal(3, 9, 20), normal(4, 9, 33), 0.01, device.granularity, UPDATE)
    tile.update(plan, UPDATE)
    middle = tile.weight
    tile.pulse(2 * normal(5, 33, 20).sign())
    return middle - start, tile.weight - middle


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (TwiceSoft, SoftBounds),
        (TwiceExponential, ExpStep),
        (TwiceNodes, PiecewiseStep),
        (TwicePower, PowStep),
    ],
    ids=["affine", "exponential", "table", "power"],
)
def test_a_changed_response_changes_what_is_trained(
    mine: type[AbstractDevice], theirs: type[AbstractDevice], level: str, backend: Backend
) -> None:
    exact = FINE | ({"pow_gamma_dtod": 0.0} if theirs is PowStep else {})
    for far, near in zip(
        moved(basic(mine, **exact), level, backend), moved(basic(theirs, **exact), level, backend)
    ):
        torch.testing.assert_close(far, 2 * near, rtol=0.02, atol=0.05 * float(near.abs().max()))


@pytest.mark.parametrize("level", ENGINES)
def test_a_formula_does_what_the_closed_form_does(level: str) -> None:
    both = [moved(basic(kind, **FINE), level, "reference") for kind in (Formula, SoftBounds)]
    for mine, closed in zip(*both):
        torch.testing.assert_close(mine, closed, rtol=0.01, atol=0.01 * float(closed.abs().max()))


def test_what_kernels_cannot_see_does_not_exist() -> None:
    """No method of a device but its response says what a pulse does."""
    for name in ("step_up", "step_down", "std_up", "std_down", "pulse", "slopes", "exponents", "exponential"):
        assert not hasattr(basic(SoftBounds), name)
