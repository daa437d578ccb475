"""A small Gaussian process for robustness maps: numpy and scipy only.

    y_i = f(x_i) + e_i,   f ~ GP(c + b (x - 1/2), a * Matern-5/2),   e_i ~ N(0, known_i + noise)

with one length scale per axis (ARD). Used by the level-set sampler (one cheap fit per question) and by the
report (surface, credible band, contour). Inputs live in the unit cube; outputs are standardised inside and
handed back in their own units.

The hyper-parameters maximise marginal likelihood times weak log-normal priors. `hyper_draws` gives a set of
processes whose hyper-parameters come from their posterior, for bands that stay honest with few points.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: algorithm 2.1 and eqs. 2.43,
5.9, 5.12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize

from crossweep.errors import ShapeError

Array = NDArray[np.float64]

# Priors of the logarithms, for standardised y and x in the unit cube: (median, standard deviation of the
# log). Chosen: with 95 % probability a length scale is between 0.08 and 4 cube edges, and the noise between
# 3 % and 60 % of the spread of y.
LENGTH_SCALE_PRIOR = (0.6, 1.0)
AMPLITUDE_PRIOR = (1.0, 1.0)
NOISE_PRIOR = (2e-2, 1.5)
MEAN_VARIANCE = 1.0  # of the mean c in the middle of the cube, in units of the variance of y
SLOPE_VARIANCE = 4.0  # of its slopes b along the edges: losses grow with flaws, and extrapolation should know
JITTER = 1e-9
LOG_LIMITS = (-16.0, 6.0)
SQRT5 = np.sqrt(5.0)


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """Hyper-parameters in standardised units.

    Args:
        length_scale: [k] per axis, in edges of the unit cube.
        amplitude: variance of f around its mean, > 0.
        noise: variance of the observations that is not known beforehand, > 0.
    """

    length_scale: Array
    amplitude: float
    noise: float

    @classmethod
    def from_logs(cls, logs: Array) -> Hyper:
        values = np.exp(logs)
        return cls(length_scale=values[:-2], amplitude=float(values[-2]), noise=float(values[-1]))

    def logs(self) -> Array:
        return np.log([*self.length_scale, self.amplitude, self.noise])


@dataclass(frozen=True, kw_only=True)
class GaussianProcess:
    """A fitted process; build it with `GaussianProcess.fit`.

    Args:
        x: [n, k] points in the unit cube.
        y: [n] observations [y].
        noise_variance: [n] known variance of each observation [y^2]; the fitted noise comes on top.
        hyper: hyper-parameters in standardised units.
        shift: what is subtracted from y [y].
        scale: what y is then divided by [y].
    """

    x: Array
    y: Array
    noise_variance: Array
    hyper: Hyper
    shift: float
    scale: float

    @classmethod
    def fit(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        noise_variance: ArrayLike | None = None,
        *,
        seed: int = 0,
        restarts: int = 2,
        start: Hyper | None = None,
        iterations: int = 100,
    ) -> GaussianProcess:
        """The process with the most probable hyper-parameters.

        Args:
            x: [n, k] points in the unit cube, n >= 1.
            y: [n] finite observations.
            noise_variance: [n] known variances of y, for instance s^2 / seeds; None: unknown, fitted as one
                number.
            seed: of the extra starting points.
            restarts: how many extra starting points are drawn from the prior.
            start: hyper-parameters to start from (the last fit's, when one point was added).
            iterations: most steps of the optimiser from each start.

        Raises:
            ShapeError: x, y and noise_variance do not belong together, or hold numbers that are not finite.
        """
        x_, y_, known = _checked(x, y, noise_variance)
        shift = float(y_.mean())
        scale = float(y_.std()) or 1.0
        posterior = _log_posterior(x_, (y_ - shift) / scale, known / scale**2)
        logs = _maximise(posterior, x_.shape[1], seed, restarts, start, iterations)
        return cls(x=x_, y=y_, noise_variance=known, hyper=Hyper.from_logs(logs), shift=shift, scale=scale)

    @cached_property
    def _solved(self) -> tuple[Array, Array]:
        """Lower Cholesky factor of K + noise, and (K + noise)^-1 y, both standardised."""
        gram = matern52(self.x, self.x, self.hyper) + trend(self.x, self.x)
        gram[np.diag_indices_from(gram)] += self._noise
        factor = linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
        weights = linalg.cho_solve((factor, True), (self.y - self.shift) / self.scale, check_finite=False)
        return factor, weights

    @property
    def _noise(self) -> Array:
        return self.noise_variance / self.scale**2 + self.hyper.noise + JITTER

    @property
    def noise_std(self) -> float:
        """Fitted standard deviation of one observation beyond its known variance [y]."""
        return float(np.sqrt(self.hyper.noise)) * self.scale

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [m] and standard deviation [m] of the latent function at x [m, k]."""
        at = np.atleast_2d(np.asarray(x, dtype=np.float64))
        mean, std = np.empty(len(at)), np.empty(len(at))
        block = max(1, 4_000_000 // len(self.x))  # 32 MB at a time
        for first in range(0, len(at), block):
            rows = slice(first, first + block)
            mean[rows], std[rows] = self._predict(at[rows])
        return mean, std

    def _predict(self, at: Array) -> tuple[Array, Array]:
        factor, weights = self._solved
        cross = matern52(self.x, at, self.hyper) + trend(self.x, at)
        half = linalg.solve_triangular(factor, cross, lower=True, check_finite=False)
        prior = self.hyper.amplitude + MEAN_VARIANCE + SLOPE_VARIANCE * ((at - 0.5) ** 2).sum(axis=1)
        variance = prior - np.einsum("nm,nm->m", half, half)
        return self.shift + self.scale * (weights @ cross), self.scale * np.sqrt(np.maximum(variance, 1e-12))

    def sample(self, x: ArrayLike, n: int, rng: np.random.Generator) -> Array:
        """n joint draws [n, m] of the latent function at x [m, k]."""
        at = np.atleast_2d(np.asarray(x, dtype=np.float64))
        factor, weights = self._solved
        cross = matern52(self.x, at, self.hyper) + trend(self.x, at)
        half = linalg.solve_triangular(factor, cross, lower=True, check_finite=False)
        covariance = matern52(at, at, self.hyper) + trend(at, at) - half.T @ half
        draws = rng.standard_normal((n, len(at))) @ _root(covariance).T
        return self.shift + self.scale * (weights @ cross + draws)

    def paths(self, n: int, rng: np.random.Generator, *, features: int = 512) -> Callable[[ArrayLike], Array]:
        """n draws as functions: x [m, k] -> [n, m], cheap at any number of places.

        A prior draw from random Fourier features, corrected by the data (Matheron's rule). The features
        approximate the prior alone, so the draws are right near the data and approximate far from them.

        Source: Wilson et al., Efficiently sampling functions from Gaussian process posteriors, ICML 2020, eq.
            12.
        """
        factor, _ = self._solved
        k = self.x.shape[1]
        # the spectral density of Matern-5/2 is a multivariate t with 5 degrees of freedom
        waves = rng.standard_normal((features, k)) * np.sqrt(5 / rng.chisquare(5, features))[:, None]
        waves, phases = waves / self.hyper.length_scale, rng.uniform(0, 2 * np.pi, features)
        weights = rng.standard_normal((n, features)) * np.sqrt(2 * self.hyper.amplitude / features)
        mean = rng.standard_normal((n, 1)) * np.sqrt(MEAN_VARIANCE)
        slopes = rng.standard_normal((n, k)) * np.sqrt(SLOPE_VARIANCE)

        def prior(at: Array) -> Array:
            return np.asarray(mean + slopes @ (at - 0.5).T + weights @ np.cos(waves @ at.T + phases[:, None]))

        seen = prior(self.x) + rng.standard_normal((n, len(self.x))) * np.sqrt(self._noise)
        missing = (self.y - self.shift) / self.scale - seen
        correction = linalg.cho_solve((factor, True), missing.T, check_finite=False)

        def function(x: ArrayLike) -> Array:
            at = np.atleast_2d(np.asarray(x, dtype=np.float64))
            cross = matern52(at, self.x, self.hyper) + trend(at, self.x)
            return np.asarray(self.shift + self.scale * (prior(at) + (cross @ correction).T))

        return function

    def loo(self) -> tuple[Array, Array]:
        """Mean [n] and standard deviation [n] of each *observation* (noise included) from all others."""
        factor, weights = self._solved
        inverse = linalg.cho_solve((factor, True), np.eye(len(self.x)), check_finite=False)
        variance = 1.0 / np.diag(inverse)
        return self.y - self.scale * weights * variance, self.scale * np.sqrt(variance)

    def condition(
        self, x: ArrayLike, y: ArrayLike, noise_variance: ArrayLike | None = None
    ) -> GaussianProcess:
        """The same hyper-parameters with more observations (a kriging believer's pseudo-observations)."""
        x_, y_, known = _checked(x, y, noise_variance)
        return GaussianProcess(
            x=np.concatenate([self.x, x_]),
            y=np.concatenate([self.y, y_]),
            noise_variance=np.concatenate([self.noise_variance, known]),
            hyper=self.hyper,
            shift=self.shift,
            scale=self.scale,
        )

    def hyper_draws(self, n: int, rng: np.random.Generator, *, proposals: int = 400) -> list[GaussianProcess]:
        """n processes with hyper-parameters from their posterior (importance resampling).

        The proposal is a Student-t with 4 degrees of freedom around the maximum, shaped by the curvature
        there: its tails are heavier than the posterior's, so the weights stay bounded.
        """
        posterior = _log_posterior(
            self.x, (self.y - self.shift) / self.scale, self.noise_variance / self.scale**2
        )
        centre = self.hyper.logs()
        spread = _root(_curvature_inverse(posterior, centre))
        normal = rng.standard_normal((proposals, len(centre)))
        radius = np.sqrt(rng.chisquare(4, proposals) / 4)
        logs = centre + (normal / radius[:, None]) @ spread.T
        logs[0] = centre
        squared = ((normal / radius[:, None]) ** 2).sum(axis=1)
        squared[0] = 0.0
        log_proposal = -0.5 * (4 + len(centre)) * np.log1p(squared / 4)
        inside = np.all((logs > LOG_LIMITS[0]) & (logs < LOG_LIMITS[1]), axis=1).tolist()
        log_weight = np.array(
            [posterior(row)[0] if ok else -np.inf for row, ok in zip(logs, inside, strict=True)]
        )
        log_weight -= log_proposal
        weight = np.exp(log_weight - log_weight.max())
        chosen = _systematic(weight / weight.sum(), n, rng)
        return [self._with(Hyper.from_logs(logs[i])) for i in chosen]

    def _with(self, hyper: Hyper) -> GaussianProcess:
        return GaussianProcess(
            x=self.x,
            y=self.y,
            noise_variance=self.noise_variance,
            hyper=hyper,
            shift=self.shift,
            scale=self.scale,
        )


def matern52(a: Array, b: Array, hyper: Hyper) -> Array:
    """Covariance [n, m] of a [n, k] and b [m, k]: v (1 + s + s^2/3) exp(-s), s = sqrt(5) scaled distance."""
    s = SQRT5 * _distance(a / hyper.length_scale, b / hyper.length_scale)
    return np.asarray(hyper.amplitude * (1 + s + s**2 / 3) * np.exp(-s))


def trend(a: Array, b: Array) -> Array:
    """Covariance [n, m] of the mean c + b (x - 1/2) between a [n, k] and b [m, k]."""
    return np.asarray(MEAN_VARIANCE + SLOPE_VARIANCE * (a - 0.5) @ (b - 0.5).T)


def _distance(a: Array, b: Array) -> Array:
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _checked(x: ArrayLike, y: ArrayLike, noise_variance: ArrayLike | None) -> tuple[Array, Array, Array]:
    x_ = np.asarray(x, dtype=np.float64)
    y_ = np.asarray(y, dtype=np.float64)
    known = np.zeros(len(y_)) if noise_variance is None else np.asarray(noise_variance, dtype=np.float64)
    if x_.ndim != 2 or y_.shape != x_.shape[:1] or known.shape != y_.shape or not len(y_):
        raise ShapeError(
            f"`x: [n, k], y: [n], noise_variance: [n], n >= 1` must hold, "
            f"got {x_.shape}, {y_.shape}, {known.shape}"
        )
    if not (np.isfinite(x_).all() and np.isfinite(y_).all() and np.isfinite(known).all()):
        raise ShapeError(
            "`x, y, noise_variance` must be finite; leave failed trials out or give them a value"
        )
    return x_, y_, known


def prior_of_logs(k: int) -> tuple[Array, Array]:
    """Median [k + 2] of the hyper-parameters and standard deviation [k + 2] of their logarithms."""
    priors = np.array([LENGTH_SCALE_PRIOR] * k + [AMPLITUDE_PRIOR, NOISE_PRIOR])
    return priors[:, 0], priors[:, 1]


Posterior = Callable[[Array], tuple[float, Array]]


def _log_posterior(x: Array, y: Array, known: Array) -> Posterior:
    """log p(y | logs) + log p(logs) and its gradient, as a function of the log hyper-parameters [k + 2]."""
    n, k = x.shape
    squared = np.stack([np.subtract.outer(x[:, j], x[:, j]) ** 2 for j in range(k)])
    medians, sigmas = prior_of_logs(k)
    diagonal = np.diag_indices(n)
    mean = trend(x, x)

    def evaluate(logs: Array) -> tuple[float, Array]:
        inverse_squared = np.exp(-2 * logs[:k])
        amplitude, noise = np.exp(logs[k:])
        s = SQRT5 * np.sqrt(np.tensordot(inverse_squared, squared, axes=1))
        decay = amplitude * np.exp(-s)
        kernel = decay * (1 + s + s**2 / 3)
        gram = kernel + mean
        gram[diagonal] += known + noise + JITTER
        prior_z = (logs - np.log(medians)) / sigmas
        try:
            factor = linalg.cholesky(gram, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return -1e25, np.zeros_like(logs)
        inverse = linalg.cho_solve((factor, True), np.eye(n), check_finite=False)
        weights = inverse @ y
        value = -0.5 * y @ weights - np.log(np.diag(factor)).sum() - 0.5 * prior_z @ prior_z
        outer = np.outer(weights, weights) - inverse
        by_distance = outer * decay * (1 + s)  # d k / d log(length_j) = 5/3 decay (1 + s) d_j^2 / length_j^2
        gradient = np.empty_like(logs)
        gradient[:k] = 0.5 * 5 / 3 * inverse_squared * np.tensordot(squared, by_distance, axes=2)
        gradient[k] = 0.5 * (outer * kernel).sum()
        gradient[k + 1] = 0.5 * noise * np.trace(outer)
        return float(value), gradient - prior_z / sigmas

    return evaluate


def _maximise(
    posterior: Posterior, k: int, seed: int, restarts: int, start: Hyper | None, iterations: int = 100
) -> Array:
    rng = np.random.default_rng(seed)
    medians, sigmas = prior_of_logs(k)
    starts = [np.log(medians) if start is None else start.logs()]
    starts += [np.log(medians) + sigmas * rng.standard_normal(k + 2) for _ in range(restarts)]

    def negative(logs: Array) -> tuple[float, Array]:
        value, gradient = posterior(logs)
        return -value, -gradient

    found = [
        optimize.minimize(
            negative,
            np.clip(first, *LOG_LIMITS),
            jac=True,
            method="L-BFGS-B",
            bounds=[LOG_LIMITS] * (k + 2),
            options={"maxiter": iterations},
        )
        for first in starts
    ]
    return np.asarray(min(found, key=lambda result: float(result.fun)).x)


def _curvature_inverse(posterior: Posterior, centre: Array, *, step: float = 1e-3) -> Array:
    """Covariance [k + 2, k + 2] at the maximum; a flat direction gets the widest prior's variance."""
    size = len(centre)
    hessian = np.empty((size, size))
    for j in range(size):
        shift = step * np.eye(size)[j]
        hessian[j] = (posterior(centre + shift)[1] - posterior(centre - shift)[1]) / (2 * step)
    values, vectors = np.linalg.eigh(-(hessian + hessian.T) / 2)
    values = np.maximum(values, 1 / NOISE_PRIOR[1] ** 2)
    return np.asarray((vectors / values) @ vectors.T)


def _root(covariance: Array) -> Array:
    """R with R R^T = covariance, for a matrix that is positive only up to rounding."""
    trace = float(np.trace(covariance)) / len(covariance)
    for jitter in (1e-10, 1e-8, 1e-6):
        try:
            padded = covariance + (jitter * trace + 1e-14) * np.eye(len(covariance))
            return np.asarray(linalg.cholesky(padded, lower=True, check_finite=False))
        except linalg.LinAlgError:
            continue
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _systematic(weights: Array, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """n indices in proportion to the weights, with the least possible scatter."""
    ticks = (np.arange(n) + rng.random()) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), ticks), len(weights) - 1)
