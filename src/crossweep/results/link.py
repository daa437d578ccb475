"""From an unbounded smooth surface g to a loss: loss = T(g).

The loss of a robust training lies on a floor, climbs a cliff and ends at chance. No stationary process fits
that shape,
but it fits g when the loss is a monotone function of g: then the floor says only "g is low there", not "g is
flat".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

Array = NDArray[np.float64]
KINDS = ("identity", "softplus", "exp", "logistic")
G_LIMIT = 8.0  # |g| beyond which floor and ceiling cannot be told from flat


@dataclass(frozen=True, kw_only=True)
class Link:
    """A monotone map of g to the loss.

    identity: g;  softplus: floor + size log(1 + e^g);  exp: floor + size e^g;  logistic: floor + size / (1 +
        e^-g).

    Args:
        kind: one of KINDS.
        floor: loss for g to minus infinity [metric].
        size: scale of the loss above the floor; the height of the cliff for logistic [metric], > 0.
    """

    kind: str = "identity"
    floor: float = 0.0
    size: float = 1.0

    def loss(self, g: ArrayLike) -> Array:
        """T(g)."""
        g_ = np.asarray(g, dtype=np.float64)
        if self.kind == "identity":
            return g_
        if self.kind == "softplus":
            return np.asarray(self.floor + self.size * np.logaddexp(0.0, g_))
        if self.kind == "exp":
            return np.asarray(self.floor + self.size * np.exp(np.minimum(g_, 30.0)))
        return np.asarray(self.floor + self.size * expit(g_))

    def slope(self, g: ArrayLike) -> Array:
        """T'(g), > 0."""
        g_ = np.asarray(g, dtype=np.float64)
        if self.kind == "identity":
            return np.ones_like(g_)
        if self.kind == "softplus":
            return np.asarray(self.size * expit(g_))
        if self.kind == "exp":
            return np.asarray(self.size * np.exp(np.minimum(g_, 30.0)))
        return np.asarray(self.size * expit(g_) * expit(-g_))

    def inverse(self, loss: ArrayLike) -> Array:
        """g with T(g) = loss, limited to what can be told from the floor and the ceiling."""
        y = np.asarray(loss, dtype=np.float64)
        if self.kind == "identity":
            return y
        share = np.maximum((y - self.floor) / self.size, 1e-12)
        if self.kind == "softplus":
            g = np.log(np.expm1(np.minimum(share, 500.0)))
            g = np.where(share > 500.0, share, g)
        elif self.kind == "exp":
            g = np.log(share)
        else:
            return np.asarray(np.clip(logit(np.clip(share, 1e-12, 1 - 1e-12)), -G_LIMIT, G_LIMIT))
        return np.asarray(np.maximum(g, -G_LIMIT))


def candidates(y: Array, level: float) -> list[Link]:
    """Links of every kind worth trying, the floor being the tenth percentile of the losses.

    Only identity is left where the level does not lie clearly above the floor and below the top.

    Args:
        y: [n] measured losses.
        level: of interest; the scale of softplus and exp is its height above the floor.
    """
    floor, high = float(np.quantile(y, 0.1)), float(y.max())
    if not _fits(floor, y, level):
        return [Link()]
    reach = high - floor
    return [
        Link(),
        Link(kind="softplus", floor=floor, size=level - floor),
        Link(kind="exp", floor=floor, size=level - floor),
        # a ceiling just above the highest value lets a plateau at chance count as saturated, a higher one
        # does not
        *(Link(kind="logistic", floor=floor, size=f * reach) for f in (1.005, 1.05)),
    ]


def with_other_floors(link: Link, y: Array, level: float) -> list[Link]:
    """The same link on other floors: where a plateau ends and noise begins is for the data to say.

    Too low a floor makes a plateau look like a slope, too high a one moves the level's place.
    """
    if link.kind == "identity":
        return []
    low, ceiling = float(np.quantile(y, 0.1)), link.floor + link.size
    floors = [low - 0.3 * (level - low), float(y.min()), *np.quantile(y, [0.25, 0.4])]
    return [
        Link(kind=link.kind, floor=float(f), size=(ceiling if link.kind == "logistic" else level) - float(f))
        for f in floors
        if _fits(float(f), y, level)
    ]


def _fits(floor: float, y: Array, level: float) -> bool:
    return level - floor > 1e-3 * float(y.max() - floor) and level < float(y.max())
