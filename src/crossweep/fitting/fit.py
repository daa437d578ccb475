"""Likelihood of one device under one candidate: estimates, and intervals from the curvature.

Maximum likelihood counts the scatter that the fitted curve has itself taken up as absent, so its noises come out
too small, and every interval with them: cycle-to-cycle noise shows in the slow wander of a curve, where six or
eight shape parameters leave little of it. The noises are therefore those of the restricted likelihood, which
integrates the curve's parameters out (Patterson and Thompson 1971, https://doi.org/10.1093/biomet/58.3.545; for
any likelihood Cox and Reid 1987, https://doi.org/10.1111/j.2517-6161.1987.tb01422.x).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from crossweep.errors import ConfigError
from crossweep.fitting import responses
from crossweep.fitting.candidates import Candidate, starts, unpack
from crossweep.fitting.likelihood import surprise

Array = NDArray[np.float64]
Z95 = 1.959964
_FLOOR = 1e-5  # least noise considered [w]; a parameter that ends there is taken as absent
_NOISES = ("cycle_noise", "reading_noise")
_LEAST = 1 / 20**2  # information below which a parameter would have to change by 20 (e-folds) to matter
_WALLS = ("w_max", "w_min")
WALL_EVIDENCE = (
    5.0  # log-likelihood that a hard bound has to gain before it counts as met; 99.8 % of chi-squared / 2
)


@dataclass(frozen=True)
class Readings:
    """One device, normalised.

    Args:
        device: its name.
        pulses: signed pulses before each reading [t].
        w: readings [t]; NaN where missing.
        fresh: the state was set anew before this reading [t]; the first alone if None.
    """

    device: str
    pulses: NDArray[np.int64]
    w: Array
    fresh: NDArray[np.bool_] | None = None

    @cached_property
    def starts(self) -> NDArray[np.bool_]:
        """Readings that begin a series [t]."""
        return np.zeros(self.w.size, bool) if self.fresh is None else self.fresh

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest reading."""
        return float(np.nanmin(self.w)), float(np.nanmax(self.w))

    @property
    def counted(self) -> int:
        """Readings that a model has to explain."""
        return int(np.isfinite(self.w).sum()) - 1


@dataclass(frozen=True)
class DeviceFit:
    """One device under one candidate.

    Args:
        readings: the data.
        candidate: the model.
        x: estimated vector (positive parameters as logarithms), noises by restricted likelihood.
        covariance: of ``x``; zero for what the data leave open, see ``open``.
        open: parameters that the likelihood does not depend on (a bound never met, a noise that is absent).
        loss: negative log-likelihood at its minimum.
        residuals: standardised innovations [t].
    """

    readings: Readings
    candidate: Candidate
    x: Array
    covariance: Array
    open: NDArray[np.bool_]
    loss: float
    residuals: Array = field(repr=False)

    @property
    def aic(self) -> float:
        """Akaike's criterion; smaller explains the data better, parameters considered."""
        return 2 * self.loss + 2 * int((~self.open).sum())

    @cached_property
    def values(self) -> dict[str, float]:
        """Estimates by name."""
        positive = [q.positive for q in self.candidate.parameters]
        found = {
            q.name: float(v)
            for q, v in zip(
                self.candidate.parameters, np.where(positive, np.exp(self.x), self.x), strict=True
            )
        }
        if self.candidate.fixed_bounds:
            found |= {"w_min": self.readings.ends[0], "w_max": self.readings.ends[1]}
        else:
            found["w_min"] = -found["w_min"]
        return found

    @cached_property
    def errors(self) -> dict[str, float]:
        """Standard errors by name (of the logarithm for positive ones); NaN where the data leave it open."""
        std = np.sqrt(np.maximum(np.diag(self.covariance), 0))
        return {
            q.name: float("nan") if lost else float(s)
            for q, s, lost in zip(self.candidate.parameters, std, self.open, strict=True)
        }

    def interval(self, name: str) -> tuple[float, float]:
        """95 % interval of one parameter; infinite where the data leave it open."""
        k = [q.name for q in self.candidate.parameters].index(name)
        q, error = self.candidate.parameters[k], self.errors[name]
        if not np.isfinite(error):
            return (0.0 if q.positive else -np.inf), np.inf
        low, high = float(self.x[k]) - Z95 * error, float(self.x[k]) + Z95 * error
        if not q.positive:
            return low, high
        ends = float(np.exp(low)), float(np.exp(high))
        return (-ends[1], -ends[0]) if name == "w_min" else ends


def fit(candidate: Candidate, readings: Readings) -> DeviceFit:
    """The most probable parameters of one device."""
    residuals = np.full(readings.w.size, np.nan)

    def loss(x: Array) -> float:
        q = unpack(candidate, x, readings.ends)
        if not q.low < q.high or not np.isfinite(q.p).all():
            return 1e10
        value = surprise(
            candidate.code,
            q.p,
            q.low,
            q.high,
            candidate.additive,
            q.cycle,
            max(q.reading, _FLOOR),
            readings.pulses,
            readings.starts,
            readings.w,
            residuals,
        )
        return float(value) if np.isfinite(value) else 1e10

    limits = _limits(candidate, readings)
    best = _descend(loss, min(starts(candidate, guess(readings), readings.ends), key=loss), limits)
    unmet = _unmet_walls(loss, best, candidate, readings)
    value = loss(best)
    best = _restrict(loss, best, candidate, unmet, limits)
    covariance, lost = _curvature(loss, best, candidate, unmet)
    loss(best)  # for its residuals
    return DeviceFit(readings, candidate, best, covariance, lost, value, residuals.copy())


def guess(readings: Readings) -> dict[str, float]:
    """A straight line through the steps of each direction, and how readings scatter around it."""
    w, pulses = readings.w, readings.pulses
    change, before, width = np.diff(w), w[:-1], readings.ends[1] - readings.ends[0]
    found: dict[str, float] = {}
    scatter = []
    for way, name in ((1, "up"), (-1, "down")):
        # where the device runs into its bound the steps say nothing about the rest
        room = (readings.ends[1] - before if way > 0 else before - readings.ends[0]) > 0.1 * width
        use = (pulses[1:] * way > 0) & np.isfinite(change) & room & ~readings.starts[1:]
        per_pulse = way * change[use] / np.abs(pulses[1:][use])
        if use.sum() < 3:
            raise ConfigError(
                f"device {readings.device!r}: too few {name} pulses away from the bounds for a fit"
            )
        slope, offset = np.polyfit(before[use], per_pulse, 1)
        scatter.append(np.std(per_pulse - offset - slope * before[use]))
        size = max(float(offset), 0.2 * abs(float(per_pulse.mean())), 1e-5)
        found |= {f"step_{name}": size, f"fade_{name}": -way * float(slope) / size}
    typical = max(float(np.mean(scatter)), 1e-5)
    mean_step = (found["step_up"] + found["step_down"]) / 2
    return found | {"cycle_noise": 0.5 * typical / mean_step, "reading": 0.5 * typical}


def _limits(candidate: Candidate, readings: Readings) -> list[tuple[float, float]]:
    """Box of the search: generous, but finite, and bounds no tighter than the data allow."""
    low, high = readings.ends
    width = high - low
    box = {
        "w_max": (max(high - 0.5 * width, 1e-3), 50 * width),
        "w_min": (max(-low - 0.5 * width, 1e-3), 50 * width),
    }
    box |= {"cycle_noise": (1e-4, 1e3), "reading_noise": (_FLOOR, 2 * width)}
    box |= {"step_up": (1e-7, 2 * width), "step_down": (1e-7, 2 * width)}
    box |= {"pow_gamma_up": (1e-2, 30.0), "pow_gamma_down": (1e-2, 30.0)}
    box |= {"bend_up": (-20.0, 20.0), "bend_down": (-20.0, 20.0)}
    limits = []
    for q in candidate.parameters:
        a, b = box.get(q.name, (-20.0, 20.0))
        limits.append((log(a), log(b)) if q.positive else (a, b))
    return limits


def _descend(loss: Callable[[Array], float], x: Array, limits: list[tuple[float, float]]) -> Array:
    """Quasi-Newton to get near, then damped Newton steps, which long valleys of tied parameters need."""
    low, high = np.array(limits).T
    found = optimize.minimize(  # type: ignore[call-overload]
        loss,
        np.clip(x, low, high),
        jac=lambda at: _gradient(loss, np.asarray(at)),
        method="L-BFGS-B",
        bounds=limits,
        options={"maxiter": 100},
    )
    best, value, damping = np.asarray(found.x), float(found.fun), 1.0
    for _ in range(25):
        gradient, hessian = _gradient(loss, best), _hessian(loss, best)
        size, axes = np.linalg.eigh(hessian)
        gained = 0.0
        while damping < 1e8:
            move = -axes @ ((axes.T @ gradient) / (np.abs(size) + damping))
            reached = np.clip(best + move, low, high)
            gained = value - loss(reached)
            if gained > 0:
                best, value, damping = reached, value - gained, max(damping / 10, 1e-6)
                break
            damping *= 10
        if gained < 1e-3:  # a twentieth of a standard error
            break
    return best


def _steps(x: Array) -> Array:
    return np.full(x.size, 1e-4) * np.maximum(1.0, np.abs(x))


def _gradient(loss: Callable[[Array], float], x: Array) -> Array:
    steps = _steps(x)
    return np.array([(loss(x + h) - loss(x - h)) / (2 * h.sum()) for h in np.diag(steps)])


def _unmet_walls(
    loss: Callable[[Array], float], x: Array, candidate: Candidate, readings: Readings
) -> NDArray[np.bool_]:
    """Hard bounds never met: moved far away the data are as likely. They become the extremes."""
    unmet = np.zeros(x.size, bool)
    if candidate.code not in (responses.CONSTANT, responses.LINEAR, responses.EXP):
        return unmet
    low, high = readings.ends
    for k, q in enumerate(candidate.parameters):
        if q.name in _WALLS:
            far = x.copy()
            far[k] = log(20 * (high - low))
            if loss(far) - loss(x) < WALL_EVIDENCE:
                x[k], unmet[k] = log(max(high if q.name == "w_max" else -low, _FLOOR)), True
    return unmet


def _hessian(loss: Callable[[Array], float], x: Array, among: NDArray[np.intp] | None = None) -> Array:
    """Second derivatives by central differences, in all parameters or ``among`` some."""
    h = np.diag(_steps(x) * 20)
    h = h if among is None else h[among]
    centre, n = loss(x), len(h)
    single = np.array([[loss(x + s), loss(x - s)] for s in h])
    second = np.diag(single.sum(1) - 2 * centre)
    for i in range(n):
        for j in range(i):
            both = loss(x + h[i] + h[j]) + loss(x - h[i] - h[j])
            second[i, j] = second[j, i] = 0.5 * (both - single[i].sum() - single[j].sum() + 2 * centre)
    size = h.sum(1)
    return np.asarray(second / np.outer(size, size))


def _restrict(
    loss: Callable[[Array], float],
    x: Array,
    candidate: Candidate,
    unmet: NDArray[np.bool_],
    limits: list[tuple[float, float]],
) -> Array:
    """Newton steps from the maximum of the likelihood to that of the restricted one.

    It is the likelihood less half the log-determinant of the curve parameters' information, as a function of the
    noises alone.
    """
    low, high = np.array(limits).T
    noises = [k for k, q in enumerate(candidate.parameters) if q.name in _NOISES]
    for _ in range(8):
        information = _hessian(loss, x)
        lost = unmet | _undetermined(information, x, candidate)
        curve = np.flatnonzero(~lost & ~np.isin(np.arange(x.size), noises))

        def taken_up(at: Array, curve: NDArray[np.intp] = curve) -> float:
            part = _hessian(loss, at, curve)
            return 0.5 * float(np.log(np.maximum(np.linalg.eigvalsh(part), _LEAST)).sum())

        push = _gradient(loss, x)
        for k in noises:
            if not lost[k]:
                h = np.where(np.arange(x.size) == k, 0.05, 0.0)
                push[k] += (taken_up(x + h) - taken_up(x - h)) / 0.1
        kept = np.flatnonzero(~lost)
        size, axes = np.linalg.eigh(information[np.ix_(kept, kept)])
        move = np.zeros(x.size)
        move[kept] = -axes @ ((axes.T @ push[kept]) / np.maximum(np.abs(size), _LEAST))
        move *= min(1.0, 0.3 / max(float(np.abs(move[noises]).max()), 1e-12))
        x = np.clip(x + move, low, high)
        if float(np.abs(move[noises]).max()) < 5e-3:  # a twentieth of a standard error and less
            break
    return x


def _undetermined(information: Array, x: Array, candidate: Candidate) -> NDArray[np.bool_]:
    """Parameters that hardly change the likelihood, and positive ones that ended at zero."""
    absent = [q.positive and v < log(2 * _FLOOR) for q, v in zip(candidate.parameters, x, strict=True)]
    return np.asarray((np.diag(information) < _LEAST) | np.array(absent))


def _curvature(
    loss: Callable[[Array], float], x: Array, candidate: Candidate, unmet: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_]]:
    """Covariance from the inverse of the observed information, and which parameters the data leave open."""
    information, n = _hessian(loss, x), x.size
    lost = unmet | _undetermined(information, x, candidate)
    covariance = np.zeros((n, n))
    kept = np.flatnonzero(~lost)
    part = information[np.ix_(kept, kept)]
    covariance[np.ix_(kept, kept)] = np.linalg.pinv(part, hermitian=True) if kept.size else part
    lost[kept[np.diag(covariance)[kept] <= 0]] = True
    return covariance, lost
