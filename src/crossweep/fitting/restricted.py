"""Noises by restricted likelihood, and the intervals of everything.

Maximum likelihood counts the scatter that the fitted curve has itself taken up as absent, so its noises come out
too small, and every interval with them: cycle-to-cycle noise shows in the slow wander of a curve, where six or
eight shape parameters leave little of it. The noises are therefore those of the restricted likelihood, which
integrates the curve's parameters out (Patterson and Thompson 1971, https://doi.org/10.1093/biomet/58.3.545; for
any likelihood Cox and Reid 1987, https://doi.org/10.1111/j.2517-6161.1987.tb01422.x).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossweep.fitting.candidates import NOISES, Parameter
from crossweep.fitting.optimise import FREE, Loss, curvature, reaches, settle, slope

Array = NDArray[np.float64]
_LEVELS = 6  # values of an absent noise that are tried
_SIGMA, TWO_SIGMA = (
    0.5,
    1.92,
)  # rise of the objective at one standard error, and at the end of a 95 % interval


@dataclass(frozen=True)
class _Problem:
    """What stays fixed while the noises are sought: indices of curve parameters and noises, scales, and the box."""

    loss: Loss
    curve: NDArray[np.intp]
    noises: NDArray[np.intp]
    reach: Array
    box: Array

    def restricted(self, at: Array) -> float:
        """The negative restricted log-likelihood, but for a constant."""
        if not self.curve.size:
            return self.loss(at)
        part = curvature(self.loss, at, self.curve, self.reach)
        return self.loss(at) + 0.5 * float(np.log(np.maximum(np.linalg.eigvalsh(part), 1e-6)).sum())

    def absent(self, x: Array) -> NDArray[np.intp]:
        """Noises at the least value considered."""
        return np.asarray(self.noises[x[self.noises] < self.box[self.noises, 0] + np.log(2)])

    def doubtful(self, x: Array) -> NDArray[np.intp]:
        """Noises without which the data are nearly as likely."""
        least = self.restricted(x)
        gone = [self.restricted(self.with_noise(x, int(k), float(self.box[k, 0]))) for k in self.noises]
        return self.noises[np.array(gone) - least < _SIGMA]

    def with_noise(self, x: Array, k: int, level: float) -> Array:
        """One noise set, everything else adapted to it."""
        moved = x.copy()
        moved[k] = level
        others = np.setdiff1d(self.noises, [k])
        return settle(self.loss, moved, np.sort(np.r_[self.curve, others]), self.box, steps=5)

    def end(self, x: Array, k: int, rise: float, *, upper: bool) -> float:
        """Logarithm of a noise at which the objective has risen by so much; infinite if it never does."""
        least = self.restricted(x)

        def beyond(level: float) -> bool:
            return self.restricted(self.with_noise(x, k, level)) - least > rise

        inside, outside = float(x[k]), float(self.box[k, 1 if upper else 0])
        if not beyond(outside):
            return np.inf if upper else -np.inf
        for _ in range(8):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
        return outside


@dataclass(frozen=True)
class Restricted:
    """Estimates by restricted likelihood.

    Args:
        x: estimates [n].
        covariance: of them [n, n], at the largest value of a doubtful noise that the data still like.
        open: parameters that the data leave open, and noises that are absent [n].
    """

    x: Array
    covariance: Array
    open: NDArray[np.bool_]
    _problem: _Problem

    def noise(self, k: int, rise: float = TWO_SIGMA) -> tuple[float, float]:
        """Interval of a noise: where the objective has risen by so much; 0 if it never does towards smaller ones."""
        low, high = (self._problem.end(self.x, k, rise, upper=upper) for upper in (False, True))
        return float(np.exp(low)), float(np.exp(high))


def restrict(
    loss: Loss, x: Array, parameters: Sequence[Parameter], moves: NDArray[np.intp], box: Array
) -> Restricted:
    """From the maximum of the likelihood to that of the restricted one."""
    names = np.array([q.name for q in parameters])
    noises = moves[np.isin(names[moves], NOISES)]
    curve = determined(loss, x, np.setdiff1d(moves, noises), parameters, box)
    problem = _Problem(loss, curve, noises, reaches(loss, x, moves), box)
    for k in problem.doubtful(x):
        x = _awake(problem, x, int(k))
    x = _newton(problem, x)
    wide = x
    for k in problem.doubtful(x):
        wide = problem.with_noise(
            wide, int(k), min(problem.end(x, int(k), _SIGMA, upper=True), float(box[k, 1]))
        )
    kept = np.sort(np.r_[curve, np.setdiff1d(noises, problem.absent(x))])
    covariance, lost = _covariance(loss, wide, kept)
    return Restricted(x, covariance, lost, problem)


def determined(
    loss: Loss, x: Array, among: NDArray[np.intp], parameters: Sequence[Parameter], box: Array
) -> NDArray[np.intp]:
    """Parameters that change the likelihood, without positive ones at the least value considered."""
    reach = reaches(loss, x, among)

    def speaks(k: int) -> bool:
        move = np.where(np.arange(x.size) == k, FREE, 0.0)
        return reach[k] < FREE or loss(x + move) + loss(x - move) - 2 * loss(x) > 0.2

    least = np.array([q.positive for q in parameters]) & (x < box[:, 0] + np.log(2))
    return np.array([k for k in among if not least[k] and speaks(int(k))], dtype=np.intp)


def _awake(problem: _Problem, x: Array, k: int) -> Array:
    """The same with a noise that the likelihood may call absent at the value that the restricted one likes best."""
    levels = np.linspace(problem.box[k, 0], min(problem.box[k, 1], 0.0), _LEVELS + 1)[1:]
    tried = [x, *(problem.with_noise(x, k, float(level)) for level in levels)]
    return min(tried, key=problem.restricted)


def _newton(problem: _Problem, x: Array) -> Array:
    """Newton steps in all parameters; one that worsens the objective is halved, then given up."""
    active = np.setdiff1d(problem.noises, problem.absent(x))
    kept, value = np.sort(np.r_[problem.curve, active]), problem.restricted(x)
    for _ in range(8 if active.size and problem.curve.size else 0):
        move = _move(problem, x, kept, active)
        for share in (1.0, 0.5, 0.25, 0.125):
            reached = np.clip(x + share * move, problem.box[:, 0], problem.box[:, 1])
            gained = value - problem.restricted(reached)
            if gained > 0:
                x, value = reached, value - gained
                break
        if gained < 1e-3:
            break
    return x


def _move(problem: _Problem, x: Array, kept: NDArray[np.intp], active: NDArray[np.intp]) -> Array:
    loss, reach = problem.loss, reaches(problem.loss, x, kept, problem.reach)
    push = slope(loss, x, kept, reach)
    for i, k in enumerate(kept):
        if k in active:  # what the curve takes up depends on the noises
            h = np.where(np.arange(x.size) == k, 0.05, 0.0)
            taken = problem.restricted(x + h) - loss(x + h) - problem.restricted(x - h) + loss(x - h)
            push[i] += taken / 0.1 * reach[k]
    size, axes = np.linalg.eigh(curvature(loss, x, kept, reach))
    move = np.zeros(x.size)
    move[kept] = -axes @ ((axes.T @ push) / np.maximum(np.abs(size), 1e-3)) * reach[kept]
    return np.asarray(move * min(1.0, 0.7 / max(float(np.abs(move[active]).max()), 1e-12)))


def _covariance(loss: Loss, x: Array, kept: NDArray[np.intp]) -> tuple[Array, NDArray[np.bool_]]:
    """Covariance from the inverse of the observed information, and which parameters the data leave open."""
    covariance, lost = np.zeros((x.size, x.size)), np.ones(x.size, bool)
    if not kept.size:
        return covariance, lost
    reach = reaches(loss, x, kept)
    inverse = np.linalg.pinv(curvature(loss, x, kept, reach), rcond=1e-10, hermitian=True)
    covariance[np.ix_(kept, kept)] = inverse * np.outer(reach[kept], reach[kept])
    lost[kept] = np.diag(covariance)[kept] <= 0
    return covariance, lost
