"""Devices relax each in their own way: spreads of diffusion and drift, seen on a tile between mini-batches."""

from itertools import pairwise
from math import log, sqrt

import pytest
import torch
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from tests import expect
from tests.algorithms.rigs import factory

ALIKE = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
SHAPE = (200, 200)


def course(device: AbstractDevice, start: float, batches: int) -> list[Tensor]:
    """The states before, and after each of some mini-batches without pulses."""
    tile, states = factory(device).tile("single", SHAPE), []
    tile.set_weight(torch.full(SHAPE, start))
    for _ in range(batches):
        states.append(tile.state.double().clone())
        tile.end_batch()
    return [*states, tile.state.double()]


def test_diffusion_differs_from_device_to_device() -> None:
    spread = 0.5
    states = course(
        basic(ConstantStep, diffusion=0.01, diffusion_dtod=spread, **ALIKE | {"w_max": 5.0, "w_min": -5.0}),
        0.0,
        2,
    )
    steps = [(after - before) / 0.01 for before, after in pairwise(states)]
    # a normal number of random size s = 1 + spread xi: variance <s^2>, fourth moment 3 <s^4>
    second, fourth = 1 + spread**2, 1 + 6 * spread**2 + 3 * spread**4
    for step in steps:
        expect.variance(step, second, detects=0.15, kurtosis=3 * fourth / second**2)
    # the size is the device's own: squares of its steps go together, <s^4> instead of <s^2>^2
    eighth = sum(
        c * spread**k * m for c, k, m in ((1, 0, 1), (28, 2, 1), (70, 4, 3), (28, 6, 15), (1, 8, 105))
    )
    both = steps[0].square() * steps[1].square()
    expect.mean(both, fourth, std=sqrt(9 * eighth - fourth**2), detects=0.8)


@pytest.mark.parametrize("for_good", [True, False], ids=["dtod", "std"])
def test_drift_differs_from_device_to_device_or_from_one_mini_batch_to_the_next(for_good: bool) -> None:
    spread = {"drift_nu_dtod" if for_good else "drift_nu_std": 0.3}
    states = course(basic(ConstantStep, drift_nu=0.1, **ALIKE, **spread), 0.4, 3)
    # the n-th mini-batch multiplies by (n / (n - 1))^-nu, the first by one
    seen = [(states[n - 1].log() - states[n].log()) / log(n / (n - 1)) for n in (2, 3)]
    for nu in seen:
        expect.mean(nu, 0.1, std=0.03, detects=0.002)
        expect.variance(nu, 0.03**2, detects=0.1)
    product = (seen[0] - 0.1) * (seen[1] - 0.1) / 0.03**2
    expect.mean(product, 1.0 if for_good else 0.0, std=sqrt(2), detects=0.1)
