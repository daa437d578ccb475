"""Minima of a likelihood whose parameters differ by orders of magnitude in how sharply they are determined.

Every difference is taken over about one standard error of the parameter, found by trying; every move that does not
lower the objective is taken back.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
Loss = Callable[[Array], float]
FREE = 1.0  # a parameter that may move by this (an e-fold) without a trace is not determined
_GAIN = 1e-3  # less is a twentieth of a standard error


def reaches(loss: Loss, x: Array, among: NDArray[np.intp], start: Array | None = None) -> Array:
    """Distance of each parameter [n] over which the loss rises by about a half on either side; at most ``FREE``."""
    centre, found = loss(x), np.full(x.size, 1e-2) if start is None else start.copy()
    for k in among:
        for _ in range(8):
            move = np.zeros(x.size)
            move[k] = found[k]
            rise = loss(x + move) + loss(x - move) - 2 * centre
            if 0.2 < rise < 4 or (rise <= 0.2 and found[k] >= FREE):
                break
            factor = np.clip(np.sqrt(1 / max(rise, 1e-6)), 0.02, 20.0)
            found[k] = np.clip(found[k] * factor, 1e-9, FREE)
    return found


def slope(loss: Loss, x: Array, among: NDArray[np.intp], reach: Array) -> Array:
    """Gradient in units of the reaches [among]."""
    found = []
    for k in among:
        move = np.zeros(x.size)
        move[k] = 0.05 * reach[k]
        found.append((loss(x + move) - loss(x - move)) / 0.1)
    return np.array(found)


def curvature(loss: Loss, x: Array, among: NDArray[np.intp], reach: Array) -> Array:
    """Second derivatives in units of the reaches [among, among], by differences over half of them."""
    n, centre = among.size, loss(x)
    moves = np.zeros((n, x.size))
    moves[np.arange(n), among] = 0.5 * reach[among]
    single = np.array([[loss(x + s), loss(x - s)] for s in moves]).reshape(n, 2)
    second = np.diag(single.sum(1) - 2 * centre)
    for i in range(n):
        for j in range(i):
            both = loss(x + moves[i] + moves[j]) + loss(x - moves[i] - moves[j])
            second[i, j] = second[j, i] = 0.5 * (both - single[i].sum() - single[j].sum() + 2 * centre)
    return 4 * second


def approach(loss: Loss, x: Array, among: NDArray[np.intp], limits: Array, steps: int = 60) -> Array:
    """A quasi-Newton search that gets near a minimum [n].

    Args:
        loss: the objective.
        x: start [n].
        among: the parameters that may move.
        limits: least and largest value of each parameter [n, 2].
        steps: of the search, at most.
    """
    x = np.clip(x, limits[:, 0], limits[:, 1])
    reach = reaches(loss, x, among)
    unit = np.maximum(reach[among], 1e-6)

    def place(z: Array) -> Array:
        moved = x.copy()
        moved[among] = np.clip(x[among] + z * unit, limits[among, 0], limits[among, 1])
        return moved

    found = optimize.minimize(  # type: ignore[call-overload]
        lambda z: loss(place(np.asarray(z))),
        np.zeros(among.size),
        jac=lambda z: slope(loss, place(np.asarray(z)), among, np.where(reach > 1e-6, reach, 1e-6)),
        method="L-BFGS-B",
        bounds=(limits[among] - x[among][:, None]) / unit[:, None],
        options={"maxiter": steps},
    )
    best = place(np.asarray(found.x))
    return best if loss(best) < loss(x) else x


def settle(loss: Loss, x: Array, among: NDArray[np.intp], limits: Array, steps: int = 25) -> Array:
    """Damped Newton steps to the bottom of long valleys of tied parameters [n]; arguments as of `approach`."""
    best, value, damping, reach = x, loss(x), 1e-2, None
    for _ in range(steps):
        reach = reaches(loss, best, among, reach)
        gradient, hessian = slope(loss, best, among, reach), curvature(loss, best, among, reach)
        size, axes = np.linalg.eigh(hessian)
        gained = 0.0
        while damping < 1e8:
            move = -axes @ ((axes.T @ gradient) / (np.abs(size) + damping))
            reached = best.copy()
            reached[among] = np.clip(best[among] + move * reach[among], limits[among, 0], limits[among, 1])
            gained = value - loss(reached)
            if gained > 0:
                best, value, damping = reached, value - gained, max(damping / 10, 1e-6)
                break
            damping *= 10
        if gained < _GAIN:
            break
    return best
