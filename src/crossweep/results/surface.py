"""The loss as a smooth function of the axes: a Gaussian process, how well it fits, when it must not be drawn.

loss = T(g) + noise, with a process g and a monotone link T (see `link` and `linked`); the link with the best
leave-one-out density of the measured losses wins. Every statement comes from draws of the posterior,
hyper-parameters included, plus the error that all points share because they share their seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossweep.axis import Axis
from crossweep.gp import GaussianProcess
from crossweep.results.link import Link, candidates, with_other_floors
from crossweep.results.linked import LinkedFit, fit_linked
from crossweep.results.points import Points, Replication, replication

Array = NDArray[np.float64]
MAX_FITTED = 256  # points beyond this are chosen by closeness to the level; exact fits cost n^3
SCREENED = 96  # points on which links are compared first, where there are more
LEAST_WEIGHT = 0.02  # of a link there, to be fitted to all points
MEMBERS = 16  # draws of the hyper-parameters
LEAST_Q2 = 0.3  # chosen: below this the surface says little more than the mean does
LEAST_COVERAGE = 0.8  # of the 95 % leave-one-out intervals, from 20 points on


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Leave-one-out: every point predicted from all others.

    Args:
        n: points fitted.
        q2: 1 - residual / total variance, on a scale that is logarithmic beyond the budget; 1 is perfect, 0
            is no better than the mean.
        error: median absolute error [metric].
        coverage: share of points inside their own 95 % prediction interval.
        side: share of points put on the right side of the level.
        predicted: [n] the predictions; low, high: [n] their 95 % intervals.
    """

    n: int
    q2: float
    error: float
    coverage: float
    side: float
    predicted: Array
    low: Array
    high: Array

    @property
    def text(self) -> str:
        return (
            f"leave-one-out over {self.n} points: Q² = {self.q2:.2f}, median error {self.error:.2f}, "
            f"{self.coverage:.0%} of points inside their 95 % interval, "
            f"{self.side:.0%} on the right side of the budget"
        )


@dataclass(frozen=True, kw_only=True)
class Member:
    """One process with hyper-parameters drawn from their posterior, behind its link."""

    link: Link
    gp: GaussianProcess


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A fitted surface.

    Args:
        axes: the k axes.
        points: what it was fitted to.
        level: the budget [metric].
        fitted: the process behind its link.
        members: what all statements are drawn from.
        replication: noise and shared error.
        quality: leave-one-out.
        problems: why it must not be used, in words; empty when it may.
        seed: of all draws.
    """

    axes: tuple[Axis, ...]
    points: Points
    level: float
    fitted: LinkedFit
    members: tuple[Member, ...]
    replication: Replication
    quality: Quality
    problems: tuple[str, ...] = ()
    seed: int = 0

    @property
    def usable(self) -> bool:
        return not self.problems

    @property
    def link(self) -> Link:
        return self.fitted.link

    def loss(self, unit: ArrayLike) -> Array:
        """[m] most probable loss [metric] at places [m, k]."""
        return self.link.loss(self.fitted.gp.predict(unit)[0])

    def draws(self, unit: ArrayLike, *, each: int = 32) -> Array:
        """[MEMBERS * each, m] joint draws on the best fit's scale of g, moved so that zero is the level."""
        rng = np.random.default_rng([self.seed, 1])
        r = self.replication
        return np.concatenate([self._drawn(member, unit, each, r, rng) for member in self.members])

    def _drawn(
        self, member: Member, unit: ArrayLike, each: int, r: Replication, rng: np.random.Generator
    ) -> Array:
        g = member.gp.sample(unit, each, rng)
        shared = r.shared_std * rng.standard_t(max(1, r.shared_freedom), (each, 1))
        # the seeds' common offset moves the loss, hence the place of the level on the scale of g
        centred = g - member.link.inverse(self.level - shared)
        if member.link == self.link:
            return centred
        loss = member.link.loss(centred + member.link.inverse(self.level))
        return self.link.inverse(loss) - self.link.inverse(self.level)

    def to_loss(self, centred: Array) -> Array:
        """Draws of `draws` as losses [metric]."""
        return self.link.loss(centred + self.link.inverse(self.level))

    @property
    def prior_std(self) -> float:
        """Standard deviation of g far from all data."""
        return float(np.sqrt(self.fitted.gp.hyper.amplitude)) * self.fitted.gp.scale


@dataclass(frozen=True, kw_only=True)
class Refused:
    """No surface, and why."""

    reason: str


def fit(points: Points, level: float, *, seed: int = 0) -> Surface | Refused:
    """Fit a surface, or say why the data cannot support one."""
    reason = _too_little(points)
    if reason:
        return Refused(reason=reason)
    chosen = _subset(points, level, seed)
    told = replication(chosen.values, level)
    fits, weights = _weighed(chosen, level, told.noise_variance, seed)
    best = fits[int(np.argmax(weights))]
    quality = _quality(best, level, seed)
    return Surface(
        axes=points.axes,
        points=chosen,
        level=level,
        fitted=best,
        members=_members(fits, weights, seed),
        replication=told,
        quality=quality,
        problems=_problems(quality),
        seed=seed,
    )


def _weighed(points: Points, level: float, noise: float, seed: int) -> tuple[list[LinkedFit], Array]:
    """All fits, weighted by the exponential of their leave-one-out log density (pseudo Bayes factors)."""

    def fitted(link: Link, part: Points = points) -> LinkedFit:
        return fit_linked(part.unit, part.y, part.seeds, link, known=noise, seed=seed)

    if points.n <= SCREENED:
        return _compared(points, candidates(points.y, level), level, fitted)
    chosen = np.sort(np.random.default_rng([seed, 5]).permutation(points.n)[:SCREENED])
    part = points.take(chosen)
    tried, weights = _compared(part, candidates(points.y, level), level, lambda link: fitted(link, part))
    links = [f.link for f, weight in zip(tried, weights) if weight >= LEAST_WEIGHT]
    fits = [fitted(link) for link in links]
    return fits, _weights(fits)


def _compared(
    points: Points, links: Sequence[Link], level: float, fitted: Callable[[Link], LinkedFit]
) -> tuple[list[LinkedFit], Array]:
    """Fits with all links and, for the best, with other floors."""
    fits = [fitted(link) for link in links]
    best = max(fits, key=LinkedFit.log_density)
    fits += [fitted(link) for link in with_other_floors(best.link, points.y, level)]
    return fits, _weights(fits)


def _weights(fits: Sequence[LinkedFit]) -> Array:
    density = np.array([f.log_density() for f in fits])
    weights = np.exp(density - density.max())
    return np.asarray(weights / weights.sum())


def _members(fits: list[LinkedFit], weights: Array, seed: int) -> tuple[Member, ...]:
    """Hyper-parameter draws of all fits, each in proportion to its weight."""
    rng = np.random.default_rng([seed, 0])
    counts = np.diff(np.round(np.concatenate([[0.0], np.cumsum(weights)]) * MEMBERS)).astype(int)
    return tuple(
        Member(link=f.link, gp=gp)
        for f, count in zip(fits, counts)
        if count
        for gp in f.gp.hyper_draws(int(count), rng)
    )


def least_points(k: int) -> int:
    """Fewest points for a surface over k axes: 5 for one, 10 for two, 5 more for each further one."""
    return 5 * k


def _too_little(points: Points) -> str:
    k, n = len(points.axes), points.n
    if not k:
        return "no axis varies among the finished trials"
    if n < least_points(k):
        what = "axis" if k == 1 else "axes"
        return f"{n} finished points; a surface over {k} {what} needs {least_points(k)}"
    few = [a.short for j, a in enumerate(points.axes) if len(np.unique(np.round(points.unit[:, j], 6))) < 3]
    if few:
        return f"fewer than three different values along {', '.join(few)}"
    return f"every finished point has the same value, {points.y[0]:.3g}" if np.ptp(points.y) == 0 else ""


def _problems(quality: Quality) -> tuple[str, ...]:
    found = []
    if not quality.q2 >= LEAST_Q2:
        found.append(
            "the trials scatter too much for a surface: these axes explain too little, or there are too few trials"
        )
    if quality.n >= 20 and quality.coverage < LEAST_COVERAGE:
        found.append("a surface misses its own trials too often for its likely ranges to be trusted")
    return tuple(found)


def _quality(fitted: LinkedFit, level: float, seed: int) -> Quality:
    drawn, y = fitted.predicted(np.random.default_rng([seed, 4])), fitted.y
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975], axis=0)
    unit = abs(level) or float(np.std(y)) or 1.0
    scaled, guessed = np.arcsinh((y - level) / unit), np.arcsinh((middle - level) / unit)
    return Quality(
        n=len(y),
        q2=1 - float(((scaled - guessed) ** 2).sum() / ((scaled - scaled.mean()) ** 2).sum()),
        error=float(np.median(np.abs(y - middle))),
        coverage=float(((low < y) & (y < high)).mean()),
        side=float(((middle > level) == (y > level)).mean()),
        predicted=middle,
        low=low,
        high=high,
    )


def _subset(points: Points, level: float, seed: int) -> Points:
    """At most MAX_FITTED points: half at random, half where a first fit puts the level.

    The second half is chosen by what the first half predicts, never by the points' own values: that would
    bias.
    """
    if points.n <= MAX_FITTED:
        return points
    order = np.random.default_rng([seed, 2]).permutation(points.n)
    first, rest = order[: MAX_FITTED // 2], order[MAX_FITTED // 2 :]
    gp = GaussianProcess.fit(points.unit[first], points.y[first] - level, seed=seed)
    mean, std = gp.predict(points.unit[rest])
    nearest = rest[np.argsort(np.abs(mean) / std)[: MAX_FITTED - len(first)]]
    return points.take(np.sort(np.concatenate([first, nearest])))


def nominal(axes: Sequence[Axis], ideals: Sequence[float]) -> Array:
    """[k] where the other axes stand while one is looked at: nominal, else harmless [unit cube]."""
    at = [ideal if a.nominal is None else float(a.to_unit(a.nominal)) for a, ideal in zip(axes, ideals)]
    return np.asarray(np.clip(np.asarray(at), 0.0, 1.0))
