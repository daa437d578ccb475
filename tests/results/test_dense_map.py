"""The default map, 24 points chosen by the level set, and a grid of 81 points over the same range with other seeds."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from crossweep.axis import Axis
from crossweep.results.contour import Contour, contour
from crossweep.results.points import Points
from crossweep.results.surface import Surface, fit
from tests.benchmarks.record_landscape import COLUMNS, HERE
from tests.results.worlds import BUDGET, as_points

HIGH = 0.8
AXES = tuple(Axis(name=name, low=0.0, high=HIGH, unit="w_max") for name in COLUMNS[:2])


def recorded(name: str) -> pd.DataFrame:
    """A map of `record_landscape.py`: error increase by place and seed."""
    rows = pd.read_csv(HERE / f"digits_{name}.csv")
    return rows.pivot_table(index=list(COLUMNS[:2]), columns="seed", values="error_increase")


def points(cells: pd.DataFrame) -> Points:
    return as_points(AXES, np.array(list(cells.index)) / HIGH, cells.to_numpy())


def drawn(cells: pd.DataFrame) -> Contour:
    surface = fit(points(cells), BUDGET)
    assert isinstance(surface, Surface) and surface.usable
    return contour(surface, (0, 1), np.zeros(2))


@pytest.fixture(scope="module")
def default() -> Contour:
    return drawn(recorded("map"))


@pytest.fixture(scope="module")
def dense() -> Contour:
    return drawn(recorded("dense"))


def test_where_a_trial_was_something_is_seen(default: Contour) -> None:
    places = np.round(points(recorded("map")).unit * (len(default.grid) - 1)).astype(int)
    assert default.seen[places[:, 1], places[:, 0]].all()


def test_less_than_a_third_of_the_default_map_is_open(default: Contour) -> None:
    assert default.drawable and default.band.mean() < 1 / 3


def test_maps_of_other_seeds_agree(default: Contour, dense: Contour) -> None:
    """Each band holds the line, so they meet at every variability; what both have decided is decided alike."""
    assert dense.drawable and (default.band & dense.band).any(axis=1).all()
    both = ~default.band & ~dense.band
    assert both.any() and ((default.mean > 0) == (dense.mean > 0))[both].all()


@pytest.mark.slow
def test_maps_of_other_seeds_differ_by_what_their_bands_say() -> None:
    """Halves of the seeds, twelve times: where the line is, in units of what the bands say. If a seed's effect is taken to
    be the same all over the map, this is 1.38."""
    cells, rng, found = recorded("dense"), np.random.default_rng(1), []
    for _ in range(12):
        seeds = rng.permutation(cells.columns)
        one, other = (line_and_error(drawn(cells[sorted(half)])) for half in (seeds[:6], seeds[6:]))
        found.append((one[0] - other[0]) / np.hypot(one[1], other[1]))
    assert np.sqrt(np.nanmean(np.square(found))) < 1.25


def line_and_error(map_: Contour) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Skew at the line, and its standard error by the band, at five variabilities; nan where there is no line."""
    rows = range(0, len(map_.grid), 8)
    lines, errors = np.full((2, len(rows)), np.nan)
    for k, row in enumerate(rows):
        crossed, band = np.flatnonzero(np.diff(np.sign(map_.mean[row]))), map_.grid[map_.band[row]]
        if crossed.size and band.size:
            lines[k], errors[k] = map_.grid[crossed[0]], np.ptp(band) / (2 * 1.96)
    return lines, errors
