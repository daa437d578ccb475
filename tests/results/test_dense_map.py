"""The default map, 24 points chosen by the level set, against a grid of other trainings over the same range."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from crossweep.axis import Axis
from crossweep.gp import GaussianProcess
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


@pytest.fixture(scope="module")
def drawn() -> Contour:
    surface = fit(recorded("map"), BUDGET)
    assert isinstance(surface, Surface) and surface.usable
    return contour(surface, (0, 1), np.zeros(2))


@pytest.fixture(scope="module")
def dense(drawn: Contour) -> NDArray[np.float64]:
    """A smooth fit to the grid's cells, less the budget, where the map was drawn."""
    cells = recorded("dense")
    up, across = np.meshgrid(drawn.grid, drawn.grid, indexing="ij")
    model = GaussianProcess.fit(cells.unit, cells.y, seed=0)
    return model.predict(np.column_stack([across.ravel(), up.ravel()]))[0].reshape(up.shape) - BUDGET


def test_the_boundary_of_the_grid_lies_in_the_band(drawn: Contour, dense: NDArray[np.float64]) -> None:
    assert (dense > 0).any() and (dense < 0).any()
    assert drawn.holds(dense)


def test_where_a_trial_was_something_is_seen(drawn: Contour) -> None:
    places = np.round(recorded("map").unit * (len(drawn.grid) - 1)).astype(int)
    assert drawn.seen[places[:, 1], places[:, 0]].all()


def test_decided_places_are_on_the_right_side(drawn: Contour, dense: NDArray[np.float64]) -> None:
    decided = ~drawn.band
    assert bool(((dense > 0) == (drawn.mean > 0))[decided].all())
    assert decided.mean() > 2 / 3  # less than a third of the map is left open
