"""The loss as a smooth function of the axes: a Gaussian process, how well it fits, and when it must not be
drawn.

The loss of a robust training is flat and then climbs a cliff, which no stationary process likes. So the
process is fitted to z = asinh((y - level) / s): linear near the level, which is where the answer lies,
logarithmic far from it. The width s (or no transformation) is the one with the best leave-one-out density.
The level is z = 0.

Every statement comes from draws of the posterior, hyper-parameters included, plus the error that all points
share because they share their seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from crossweep.gp import GaussianProcess
from crossweep.results.axes import Axis
from crossweep.results.points import Points, Replication, replication

Array = NDArray[np.float64]
MAX_FITTED = 400  # points beyond this are chosen by closeness to the level; exact fits cost n^3
MEMBERS = 16  # draws of the hyper-parameters
LEAST_Q2 = 0.3  # chosen: below this the surface says less than the mean does
LEAST_COVERAGE = 0.8  # of the 95 % leave-one-out intervals, from 20 points on


@dataclass(frozen=True, kw_only=True)
class Warp:
    """z = asinh((y - level) / width), or z = y - level for an infinite width."""

    level: float
    width: float

    def forward(self, y: ArrayLike) -> Array:
        centred = np.asarray(y, dtype=np.float64) - self.level
        return np.arcsinh(centred / self.width) if np.isfinite(self.width) else centred

    def inverse(self, z: ArrayLike) -> Array:
        z_ = np.asarray(z, dtype=np.float64)
        return self.level + (np.sinh(np.clip(z_, -20, 20)) * self.width if np.isfinite(self.width) else z_)

    def log_slope(self, y: Array) -> Array:
        """log dz/dy, the Jacobian that makes densities of different warps comparable."""
        if not np.isfinite(self.width):
            return np.zeros(len(y))
        return -0.5 * np.log(self.width**2 + (y - self.level) ** 2)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Leave-one-out: every point predicted from all others.

    Args:
        n: points fitted.
        q2: 1 - residual / total variance, on the fitted scale; 1 is perfect, 0 no better than the mean.
        error: median absolute error [metric].
        coverage: share of points inside their own 95 % prediction interval.
        side: share of points put on the right side of the level.
    """

    n: int
    q2: float
    error: float
    coverage: float
    side: float

    @property
    def text(self) -> str:
        return (
            f"leave-one-out over {self.n} points: Q² = {self.q2:.2f}, median error {self.error:.2f} points, "
            f"{self.coverage:.0%} of points inside their 95 % interval, "
            f"{self.side:.0%} on the right side of the budget"
        )


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A fitted surface.

    Args:
        axes: the k axes.
        points: what it was fitted to.
        warp: the scale of the fit.
        gp: the most probable process, on the scale of the fit.
        members: processes with hyper-parameters drawn from their posterior.
        replication: noise and shared error.
        quality: leave-one-out.
        problems: why it must not be drawn, in words; empty when it may.
        seed: of all draws.
    """

    axes: tuple[Axis, ...]
    points: Points
    warp: Warp
    gp: GaussianProcess
    members: tuple[GaussianProcess, ...]
    replication: Replication
    quality: Quality
    problems: tuple[str, ...] = ()
    seed: int = 0
    _cache: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def level(self) -> float:
        return self.warp.level

    @property
    def usable(self) -> bool:
        return not self.problems

    def mean(self, unit: ArrayLike) -> Array:
        """[m] the posterior median of the loss [metric] at unit points [m, k]."""
        return self.warp.inverse(self.gp.predict(unit)[0])

    def draws(self, unit: ArrayLike, *, each: int = 32) -> Array:
        """[MEMBERS * each, m] joint draws on the fitted scale; the level is 0."""
        rng = np.random.default_rng([self.seed, 1])
        latent = np.concatenate([member.sample(unit, each, rng) for member in self.members])
        return latent + self._shared(len(latent), rng)[:, None]

    def _shared(self, n: int, rng: np.random.Generator) -> Array:
        r = self.replication
        return r.shared_std * rng.standard_t(max(1, r.shared_freedom), n) if r.shared_std else np.zeros(n)

    @cached_property
    def prior_std(self) -> float:
        """Standard deviation of the process far from all data, on the fitted scale."""
        return float(np.sqrt(self.gp.hyper.amplitude)) * self.gp.scale


@dataclass(frozen=True, kw_only=True)
class Refused:
    """No surface, and why."""

    reason: str


def fit(points: Points, level: float, *, seed: int = 0) -> Surface | Refused:
    """Fit a surface, or say why the data cannot support one."""
    k, n = len(points.axes), points.n
    least = least_points(k)
    if not k:
        return Refused(reason="no axis varies among the finished trials")
    if n < least:
        what = "axis" if k == 1 else "axes"
        what = "axis" if k == 1 else "axes"
        return Refused(reason=f"{n} finished points; a surface over {k} {what} needs {least}")
    few = [a.short for j, a in enumerate(points.axes) if len(np.unique(np.round(points.unit[:, j], 6))) < 3]
    if few:
        return Refused(reason=f"fewer than three different values along {', '.join(few)}")
    if np.ptp(points.y) == 0:
        return Refused(reason=f"every finished point has the same value, {points.y[0]:.3g}")
    chosen = _subset(points, level, seed)
    warp, gp, shared = _best(chosen, level, seed)
    members = gp.hyper_draws(MEMBERS, np.random.default_rng([seed, 0]))
    quality = _quality(gp, chosen.y, warp)
    return Surface(
        axes=points.axes,
        points=chosen,
        warp=warp,
        gp=gp,
        members=tuple(members),
        replication=shared,
        quality=quality,
        problems=_problems(quality),
        seed=seed,
    )


def least_points(k: int) -> int:
    """Fewest points for a surface over k axes: 5 for one, 10 for two, 5 more for each further one."""
    return 5 * k


def _problems(quality: Quality) -> tuple[str, ...]:
    found = []
    if quality.q2 < LEAST_Q2:
        found.append(
            f"the surface predicts left-out points too badly (Q² = {quality.q2:.2f}, needed {LEAST_Q2}): "
            "the axes explain too little of the scatter, or there are too few points"
        )
    if quality.n >= 20 and quality.coverage < LEAST_COVERAGE:
        found.append(
            f"only {quality.coverage:.0%} of left-out points lie in their 95 % interval: "
            "its band cannot be trusted"
        )
    return tuple(found)


def _best(points: Points, level: float, seed: int) -> tuple[Warp, GaussianProcess, Replication]:
    """The warp with the best leave-one-out log density of the untransformed values."""
    spread = float(np.subtract(*np.percentile(points.y, [90, 10]))) or float(np.ptp(points.y))
    widths = [np.inf, spread, spread / 4, spread / 16]
    found = [_fit_warped(points, Warp(level=level, width=w), seed) for w in widths]
    return max(found, key=lambda f: _log_density(f[1], points.y, f[0]))


def _fit_warped(points: Points, warp: Warp, seed: int) -> tuple[Warp, GaussianProcess, Replication]:
    told = replication(warp.forward(points.values))
    known = None
    if np.isfinite(told.noise_variance):
        known = told.noise_variance / points.seeds
    gp = GaussianProcess.fit(points.unit, warp.forward(points.y), known, seed=seed)
    return warp, gp, told


def _log_density(gp: GaussianProcess, y: Array, warp: Warp) -> float:
    mean, std = gp.loo()
    return float((stats.norm.logpdf(gp.y, mean, std) + warp.log_slope(y)).sum())


def _quality(gp: GaussianProcess, y: Array, warp: Warp) -> Quality:
    mean, std = gp.loo()
    total = float(((gp.y - gp.y.mean()) ** 2).sum())
    return Quality(
        n=len(y),
        q2=1 - float(((gp.y - mean) ** 2).sum()) / total,
        error=float(np.median(np.abs(y - warp.inverse(mean)))),
        coverage=float((np.abs(gp.y - mean) < stats.norm.isf(0.025) * std).mean()),
        side=float(((mean > 0) == (gp.y > 0)).mean()),
    )


def _subset(points: Points, level: float, seed: int) -> Points:
    """At most MAX_FITTED points: half at random, half where a first fit puts the level.

    The second half is chosen by what the first half predicts, never by the points' own values, which would
    bias them.
    """
    if points.n <= MAX_FITTED:
        return points
    order = np.random.default_rng([seed, 2]).permutation(points.n)
    first, rest = order[: MAX_FITTED // 2], order[MAX_FITTED // 2 :]
    _, gp, _ = _fit_warped(points.take(first), Warp(level=level, width=np.inf), seed)
    mean, std = gp.predict(points.unit[rest])
    nearest = rest[np.argsort(np.abs(mean) / std)[: MAX_FITTED - len(first)]]
    return points.take(np.sort(np.concatenate([first, nearest])))


def nominal(axes: Sequence[Axis], ideals: Sequence[float]) -> Array:
    """[k] where the other axes stand while one is looked at: nominal, else harmless [unit cube]."""
    at = [ideal if a.nominal is None else float(a.to_unit(a.nominal)) for a, ideal in zip(axes, ideals)]
    return np.asarray(np.clip(np.asarray(at), 0.0, 1.0))
