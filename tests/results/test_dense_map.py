"""The default map, 24 points chosen by the level set, and a grid of 81 points over the same range with other seeds."""

import numpy as np
import pandas as pd
import pytest

from crossweep.axis import Axis
from crossweep.results.contour import Contour, contour
from crossweep.results.points import Points
from crossweep.results.surface import Surface, fit
from tests.benchmarks.record_landscape import COLUMNS, HERE
from tests.results.worlds import BUDGET, as_points

HIGH = 0.8
AXES = tuple(Axis(name=name, low=0.0, high=HIGH, unit="w_max") for name in COLUMNS[:2])


def recorded(name: str) -> Points:
    """A map of `record_landscape.py`."""
    rows = pd.read_csv(HERE / f"digits_{name}.csv")
    cells = rows.pivot_table(index=list(COLUMNS[:2]), columns="seed", values="error_increase")
    return as_points(AXES, np.array(list(cells.index)) / HIGH, cells.to_numpy())


def drawn(name: str) -> Contour:
    surface = fit(recorded(name), BUDGET)
    assert isinstance(surface, Surface) and surface.usable
    return contour(surface, (0, 1), np.zeros(2))


@pytest.fixture(scope="module")
def default() -> Contour:
    return drawn("map")


@pytest.fixture(scope="module")
def dense() -> Contour:
    return drawn("dense")


def test_where_a_trial_was_something_is_seen(default: Contour) -> None:
    places = np.round(recorded("map").unit * (len(default.grid) - 1)).astype(int)
    assert default.seen[places[:, 1], places[:, 0]].all()


def test_less_than_a_third_of_the_default_map_is_open(default: Contour) -> None:
    assert default.drawable and default.band.mean() < 1 / 3


def test_maps_of_other_seeds_agree(default: Contour, dense: Contour) -> None:
    """Each band holds the line, so they meet at every variability; what both have decided is decided alike."""
    assert dense.drawable and (default.band & dense.band).any(axis=1).all()
    both = ~default.band & ~dense.band
    assert both.any() and ((default.mean > 0) == (dense.mean > 0))[both].all()
