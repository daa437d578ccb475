"""Several measured devices: what they have in common, and how far they differ beyond what their fits leave open."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from crossweep.fitting.candidates import choose
from crossweep.fitting.population import Estimate, ModelFit


def devices(name: str, values: list[float], error: float) -> ModelFit:
    """Fits that differ in one parameter; ``error`` is its standard error."""
    candidate = choose(["linear_step"])[0]
    every = {q.name: 1.0 for q in candidate.parameters}
    fits: list[Any] = [
        SimpleNamespace(
            values=every | {name: value}, errors=dict.fromkeys(every, 0.0) | {name: error},
            readings=SimpleNamespace(one_way=False), interval=lambda _: (0.1, 3.0),
        )
        for value in values
    ]  # fmt: skip
    return ModelFit(candidate, tuple(fits))


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("gamma_up", 0.1**2),  # an absolute error
        ("step_up", 0.1**2 * np.mean(np.square([0.8, 1.0, 1.2]))),  # an error of the logarithm
    ],
)
def test_the_spread_is_what_the_errors_of_the_fits_do_not_explain(name: str, sampling: float) -> None:
    found = devices(name, [0.8, 1.0, 1.2], 0.1).estimates[name]
    assert found.mean == pytest.approx(1.0) and found.spread == pytest.approx(np.sqrt(0.04 - sampling))
    reach = stats.t.ppf(0.975, 2) * np.sqrt(0.04 / 3)
    assert (found.low, found.high) == pytest.approx((1 - reach, 1 + reach))
    assert devices(name, [0.8, 1.0, 1.2], 0.5).estimates[name].spread == 0.0


def test_one_device_has_its_own_interval_and_tells_nothing_of_a_spread() -> None:
    assert devices("step_up", [0.3], 0.1).estimates["step_up"] == Estimate(0.3, 0.1, 3.0, 0.0)
