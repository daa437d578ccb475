"""One process behind one link, fitted to losses with noise.

    y_i = T(g(x_i) + t_i) + e_i,    t_i ~ N(0, tau^2),    e_i ~ N(0, sigma^2 / seeds_i)

e is what scatters everywhere; t is scatter of the surface itself, which on a cliff becomes a large scatter of
the loss. Gauss-Newton steps: T is linearised at the present g, which turns every loss into a
pseudo-observation of g with the variance sigma^2 / T'^2, and the process is fitted to those; at convergence
this is the Laplace approximation. Where replicate seeds do not tell sigma, it is re-estimated on the way
(expectation-maximisation).

Source: Rasmussen and Williams 2006, sections 3.4 and 5.4.2 (leave-one-out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crossweep.gp import GaussianProcess
from crossweep.results.link import G_LIMIT, Link

Array = NDArray[np.float64]
ROUNDS = 12
CONVERGED = 1e-2  # largest change of g, in units of its spread
MOST_VARIANCE = 1e4  # of a pseudo-observation, relative to the spread of g: it then says nothing
NODES = np.linspace(-6.0, 6.0, 161)  # quadrature over g, in standard deviations


@dataclass(frozen=True, kw_only=True)
class LinkedFit:
    """A fitted process behind a link.

    Args:
        link: T.
        gp: process of g, on the pseudo-observations.
        variance: sigma^2 of one value [metric^2].
        y: [n] the losses.
        seeds: [n] replicates behind each.
    """

    link: Link
    gp: GaussianProcess
    variance: float
    y: Array
    seeds: NDArray[np.int64]

    def left_out(self) -> tuple[Array, Array]:
        """Mean [n] and standard deviation [n] of g + t at each point, from all other points."""
        mean, std = self.gp.loo()
        spread = np.sqrt(np.maximum(std**2 - self.gp.noise_variance, 1e-12))
        # a pseudo-observation without weight leaves its own prediction to rounding: it is then the
        # posterior's
        mute = self.gp.noise_variance > 0.999 * std**2
        own_mean, own_std = self.gp.predict(self.gp.x)
        own_std = np.sqrt(own_std**2 + self.gp.noise_std**2)
        return np.where(mute, own_mean, mean), np.where(mute, own_std, spread)

    def log_density(self) -> float:
        """Sum of the log densities of the losses, each predicted from all other points."""
        mean, std = self.left_out()
        g = mean[:, None] + std[:, None] * NODES
        # between two nodes the loss moves by this much; a narrower noise could slip through the quadrature
        step = self.link.slope(g) * std[:, None] * (NODES[1] - NODES[0])
        noise = np.sqrt(self.variance / self.seeds[:, None] + step**2)
        weight = stats.norm.pdf(NODES) * (NODES[1] - NODES[0])
        density = (stats.norm.pdf(self.y[:, None], self.link.loss(g), noise) * weight).sum(axis=1)
        return float(np.log(np.maximum(density, 1e-12)).sum())

    def predicted(self, rng: np.random.Generator, n: int = 400) -> Array:
        """[n, points] draws of every loss, noise included, predicted from all other points."""
        mean, std = self.left_out()
        g = mean + std * rng.standard_normal((n, len(mean)))
        noise = np.sqrt(self.variance / self.seeds) * rng.standard_normal((n, len(mean)))
        return self.link.loss(g) + noise


def fit_linked(
    unit: Array, y: Array, seeds: NDArray[np.int64], link: Link, *, known: float = float("nan"), seed: int = 0
) -> LinkedFit:
    """Fit g.

    Args:
        unit: [n, k] places in the unit cube.
        y: [n] losses, means over seeds.
        seeds: [n] replicates behind each.
        link: T.
        known: variance of a single value [metric^2]; nan: estimated.
        seed: of the fit's starting points.
    """
    if link.kind == "identity":
        variance = known if np.isfinite(known) else 0.0
        plain = GaussianProcess.fit(unit, y, variance / seeds if variance else None, seed=seed)
        return LinkedFit(link=link, gp=plain, variance=variance, y=y, seeds=seeds)
    least = (1e-3 * float(np.ptp(y))) ** 2
    variance = known if np.isfinite(known) else (0.05 * float(np.ptp(y))) ** 2
    g = np.maximum(link.inverse(y), -G_LIMIT / 2)
    gp: GaussianProcess | None = None
    for _ in range(ROUNDS):
        gp = _linearised(unit, y, seeds, link, g, variance, gp, seed, iterations=15)
        mean, std = gp.predict(unit)
        change = np.clip(mean - g, -2.0, 2.0)
        g = np.clip(g + 0.7 * change, -2 * G_LIMIT, 4 * G_LIMIT)
        if not np.isfinite(known):
            variance = max(least, _noise(y, link, g, std, gp.noise_std, seeds, variance))
        if np.abs(change).max() < CONVERGED * gp.scale:
            break
    final = _linearised(unit, y, seeds, link, g, variance, gp, seed)
    return LinkedFit(link=link, gp=final, variance=variance, y=y, seeds=seeds)


def _linearised(
    unit: Array,
    y: Array,
    seeds: NDArray[np.int64],
    link: Link,
    g: Array,
    variance: float,
    last: GaussianProcess | None,
    seed: int,
    iterations: int = 100,
) -> GaussianProcess:
    slope = np.maximum(link.slope(g), 1e-9)
    scale = max(float(np.std(np.clip(g, -G_LIMIT, None))), 0.1)
    known = np.minimum(variance / seeds / slope**2, MOST_VARIANCE * scale**2)
    # a step is never longer than what the linearisation can be trusted for
    target = g + np.clip((y - link.loss(g)) / slope, -3.0, 3.0)
    if last is None:
        return GaussianProcess.fit(unit, target, known, seed=seed, restarts=1)
    return GaussianProcess.fit(
        unit, target, known, seed=seed, restarts=0, start=last.hyper, iterations=iterations
    )


def _noise(
    y: Array, link: Link, g: Array, std: Array, tau: float, seeds: NDArray[np.int64], variance: float
) -> float:
    """The next sigma^2: squared residuals, weighted towards points where tau matters little."""
    slope = link.slope(g)
    weight = 1 / (1 + (slope * tau) ** 2 * seeds / variance) ** 2
    squares = ((y - link.loss(g)) ** 2 + (slope * std) ** 2) * seeds
    return float((weight * squares).sum() / weight.sum())
