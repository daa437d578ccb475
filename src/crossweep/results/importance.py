"""Which axis costs most, and which only together: variance shares (Sobol indices) of the fitted surface.

All axes vary evenly over their whole ranges. The first-order share of an axis is the part of the loss's
variance that it causes alone, the total share also counts its interactions. The intervals come from posterior
draws of the surface, in points of loss, not on the fitted scale.

Source: Saltelli et al., Comput. Phys. Commun. 181, 259 (2010); Jansen, Comput. Phys. Commun. 117, 35 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from crossweep.axis import Axis
from crossweep.results.surface import Surface

Array = NDArray[np.float64]
BASE = 512  # pairs of places, a power of two
EACH = 4  # paths per member
MOST_FOR_PAIRS = 6  # axes; beyond, pairs are too many to read
INTERVAL = (0.025, 0.5, 0.975)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of the variance with its 95 % interval, all in 0..1."""

    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        return f"{self.value:.0%} (likely range {self.low:.0%} to {self.high:.0%})"


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Shares of one surface.

    Args:
        axes: the k axes.
        first: per axis, its own share.
        total: per axis, its share with all interactions.
        pairs: interaction of two axes by their indices; empty for many axes.
    """

    axes: tuple[Axis, ...]
    first: tuple[Share, ...]
    total: tuple[Share, ...]
    pairs: dict[tuple[int, int], Share]

    @property
    def order(self) -> tuple[int, ...]:
        """Axes from the costliest down."""
        return tuple(sorted(range(len(self.axes)), key=lambda j: -self.total[j].value))


def importance(surface: Surface) -> Importance:
    """Sobol indices of the loss over the axes' ranges."""
    k = len(surface.axes)
    base = qmc.Sobol(2 * k, rng=surface.seed).random(BASE)
    a, b = base[:, :k], base[:, k:]
    pairs = list(combinations(range(k), 2)) if k <= MOST_FOR_PAIRS else []
    mixes = [(j,) for j in range(k)] + pairs
    places = np.concatenate([a, b, *(_mixed(a, b, columns) for columns in mixes)])
    loss = _paths(surface, places).reshape(-1, 2 + len(mixes), BASE)
    of_a, of_b, mixed = loss[:, 0], loss[:, 1], loss[:, 2:]
    variance = np.maximum(loss[:, :2].reshape(len(loss), -1).var(axis=1), 1e-12)[:, None]
    closed = 1 - ((of_b[:, None] - mixed) ** 2).mean(axis=2) / (2 * variance)
    total = ((of_a[:, None] - mixed[:, :k]) ** 2).mean(axis=2) / (2 * variance)
    together = {(i, j): closed[:, k + at] - closed[:, i] - closed[:, j] for at, (i, j) in enumerate(pairs)}
    return Importance(
        axes=surface.axes,
        first=tuple(_share(closed[:, j]) for j in range(k)),
        total=tuple(_share(total[:, j]) for j in range(k)),
        pairs={pair: _share(values) for pair, values in together.items()},
    )


def _mixed(a: Array, b: Array, columns: tuple[int, ...]) -> Array:
    """A with the named columns from B."""
    mixed = a.copy()
    mixed[:, columns] = b[:, columns]
    return mixed


def _paths(surface: Surface, places: Array) -> Array:
    rng = np.random.default_rng([surface.seed, 3])
    losses = np.concatenate([m.link.loss(m.gp.paths(EACH, rng)(places)) for m in surface.members])
    # a draw behind an exponential link may overshoot far beyond anything seen; twice the seen range is the
    # limit
    return np.asarray(np.minimum(losses, surface.points.y.max() + np.ptp(surface.points.y)))


def _share(values: Array) -> Share:
    low, middle, high = np.quantile(np.clip(values, 0.0, 1.0), INTERVAL)
    return Share(value=float(middle), low=float(low), high=float(high))
