"""Noises by restricted likelihood, where the answer is known: a straight line through points."""

import numpy as np
import pytest
from numpy.typing import NDArray

from crossweep.fitting.candidates import Parameter
from crossweep.fitting.restricted import restrict


def test_the_noise_is_what_is_left_per_degree_of_freedom() -> None:
    """Offset and slope take up two of nine: the variance is ``RSS / 7``, where the likelihood says ``RSS / 9``."""
    rng, n = np.random.default_rng(3), 9
    t = np.linspace(-1, 1, n)
    y = 0.3 + 0.5 * t + 0.1 * rng.standard_normal(n)

    def loss(x: NDArray[np.float64]) -> float:
        off, variance = y - x[0] - x[1] * t, np.exp(2 * x[2])
        return float(0.5 * (n * np.log(2 * np.pi * variance) + off @ off / variance))

    slope, offset = np.polyfit(t, y, 1)
    rss = float(np.square(y - offset - slope * t).sum())
    likeliest = np.array([offset, slope, 0.5 * np.log(rss / n)])
    parameters = (Parameter("offset", False), Parameter("slope", False), Parameter("reading_noise", True))
    box = np.array([[-5.0, 5.0], [-5.0, 5.0], [np.log(1e-4), np.log(10.0)]])
    found = restrict(loss, likeliest, parameters, np.arange(3), box)
    assert found.x[:2] == pytest.approx([offset, slope], abs=1e-3)
    # the search ends where a step gains 1e-3: within 2.4 % of the variance, for a curvature of 2 x 7
    assert np.exp(2 * found.x[2]) == pytest.approx(rss / 7, rel=0.03)
    errors = np.sqrt(np.diag(found.covariance)[:2])
    assert errors == pytest.approx(np.sqrt(rss / 7 / np.array([n, t @ t])), rel=0.03)
    assert not found.open.any()
