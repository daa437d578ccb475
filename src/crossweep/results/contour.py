"""Where the loss crosses the budget in the plane of two axes, and how sure that is.

The band is *simultaneous*: it is { x : |m(x)| <= c s(x) }, m and s being the middle and the spread of the
posterior draws on the fitted scale, with the smallest c for which 95 % of the draws have their *whole*
contour inside. (The pointwise choice c = 1.96 would let many contours leave it somewhere.) Far from the line
draws are not normal, and m / s says little: so a place belongs to it only where one draw in 200, there or at a
neighbour, is on the other side than the rest. On surfaces drawn
at random, with everything fitted from 32 noisy points, such bands hold the whole true contour in 95 % of the
cases (161 of 170; 162 where the level set chose the points), and more often for smooth cliffs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from crossweep.results.surface import Surface

Array = NDArray[np.float64]
CREDIBLE = 0.95  # of the draws
DOUBT = 0.005  # share of the draws that must be on the other side for a place to be open
GRID = 33  # points per axis for the draws
NOT_SEEN = 0.8  # share of the prior's standard deviation above which a place counts as not looked at


@dataclass(frozen=True, kw_only=True)
class Contour:
    """The iso-loss line of one plane, on a regular grid of unit coordinates.

    Args:
        pair: indices of the two axes (across, up).
        grid: [g] unit coordinates of either axis.
        mean: [g, g] median of the draws on the fitted scale, 0 at the level; [up, across].
        std: [g, g] half their middle 68 %, a standard deviation where they are normal.
        loss: [g, g] posterior median loss [metric].
        factor: c of the band.
        within: [g, g] probability that the loss is within the budget.
        crossing: probability that the level is crossed anywhere in the plane.
        seen: [g, g] whether the data say more there than the prior does, or a trial was there.
        draws: [d, g, g] the draws themselves.
    """

    pair: tuple[int, int]
    grid: Array
    mean: Array
    std: Array
    loss: Array
    factor: float
    within: Array
    crossing: float
    seen: NDArray[np.bool_]
    draws: Array

    @property
    def disputed(self) -> NDArray[np.bool_]:
        """[g, g] whether not nearly all draws are on one side there and at its neighbours."""
        least, most = minimum_filter(self.within, 3), maximum_filter(self.within, 3)
        return np.asarray((least < 1 - DOUBT) & (most > DOUBT))

    @property
    def excess(self) -> Array:
        """[g, g] how far outside of the band a point lies on the fitted scale; below 0 within it."""
        distance = np.abs(self.mean) - self.factor * self.std
        return np.where(self.disputed, distance, np.maximum(distance, self.std))

    @property
    def band(self) -> NDArray[np.bool_]:
        """[g, g] whether a point belongs to the band."""
        return self.excess <= 0

    def holds(self, surface: Array) -> bool:
        """Whether the whole zero line of a surface [g, g] lies in the band."""
        if farthest(surface, self.mean / self.std) > self.factor:
            return False
        above, open_ = surface >= 0, self.disputed
        ends = (
            (above[:-1] != above[1:], open_[:-1], open_[1:]),
            (above.T[:-1] != above.T[1:], open_.T[:-1], open_.T[1:]),
        )
        return not any((crossed & ~(one | other)).any() for crossed, one, other in ends)

    @property
    def drawable(self) -> bool:
        """Whether there is a line to draw: more likely than not, and in the mean."""
        return self.crossing > 0.5 and bool((self.mean > 0).any() and (self.mean < 0).any())

    @property
    def safe_share(self) -> float:
        """Posterior mean share of the plane within the budget."""
        return float(self.within.mean())


def contour(
    surface: Surface, pair: tuple[int, int], at: Array, *, grid: int = GRID, each: int = 32
) -> Contour:
    """Draw the surface over a plane.

    Args:
        surface: k axes.
        pair: indices of the axes across and up.
        at: [k] unit coordinates of the other axes.
        grid: points per axis.
        each: draws per member of the surface.
    """
    line = np.linspace(0.0, 1.0, grid)
    unit = np.tile(at, (grid * grid, 1))
    unit[:, pair[0]] = np.tile(line, grid)
    unit[:, pair[1]] = np.repeat(line, grid)
    draws = surface.draws(unit, each=each).reshape(-1, grid, grid)
    # median and half the middle 68 %: few seeds give the draws heavy tails, which would rule a mean
    low, mean, high = np.quantile(draws, [0.16, 0.5, 0.84], axis=0)
    std = (high - low) / 2 + 1e-12
    _, gp_std = surface.fitted.gp.predict(unit)
    inside = draws < 0
    # near the floor of the link a trial says little on the fitted scale, but it was there
    tried = np.abs(surface.points.unit[:, None] - unit).max(-1).min(0) < 1 / (grid - 1)
    return Contour(
        pair=pair,
        grid=line,
        mean=mean,
        std=std,
        loss=surface.to_loss(mean),
        factor=float(np.quantile([farthest(draw, mean / std) for draw in draws], CREDIBLE)),
        within=inside.mean(axis=0),
        crossing=float((inside.any(axis=(1, 2)) & ~inside.all(axis=(1, 2))).mean()),
        seen=(tried | (gp_std < NOT_SEEN * surface.prior_std)).reshape(grid, grid),
        draws=draws.astype(np.float32),
    )


def farthest(draw: Array, ratio: Array) -> float:
    """The largest |m / s| anywhere on a surface's zero line; 0 for one that has none.

    Args:
        draw: [g, g] a surface on the fitted scale.
        ratio: [g, g] m / s, read off between grid points by the place of the zero.
    """
    worst = 0.0
    for a, b, ra, rb in (
        (draw[:-1], draw[1:], ratio[:-1], ratio[1:]),
        (draw[:, :-1], draw[:, 1:], ratio[:, :-1], ratio[:, 1:]),
    ):
        crosses = (a < 0) != (b < 0)
        if crosses.any():
            share = a[crosses] / (a[crosses] - b[crosses])
            worst = max(worst, float(np.abs(ra[crosses] + share * (rb[crosses] - ra[crosses])).max()))
    return worst
