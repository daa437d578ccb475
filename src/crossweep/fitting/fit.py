"""Likelihood of one device under one candidate: estimates and intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossweep.fitting import responses
from crossweep.fitting.candidates import NOISES, Candidate, limits, starts, unpack
from crossweep.fitting.likelihood import surprise
from crossweep.fitting.optimise import FREE, Loss, approach, settle
from crossweep.fitting.readings import Readings
from crossweep.fitting.restricted import TWO_SIGMA, Restricted, determined, restrict

Array = NDArray[np.float64]
Z95 = 1.959964
IMPOSSIBLE = 1e10  # loss of parameters that make no device
_WALLS = ("w_max", "w_min")
_SPLITS = ((0.7, 0.7), (1.0, 0.1), (0.05, 0.8))  # of the first scatter: cycle to cycle, and of readings
# log-likelihood that a hard bound has to gain before it counts as met; 99.8 % of chi-squared / 2
WALL_EVIDENCE = 5.0


@dataclass(frozen=True)
class DeviceFit:
    """One device under one candidate.

    Args:
        readings: the data.
        candidate: the model.
        likeliest: vector of largest likelihood (positive parameters as logarithms).
        free: parameters that the data determine there.
        refine: from it to the restricted one with intervals; takes several times as long, so only on demand.
        unmet: hard bounds that the device never met; far away in ``x``, the extreme readings in ``values``.
        loss: negative log-likelihood at its minimum.
        residuals: standardised innovations [t].
    """

    readings: Readings
    candidate: Candidate
    likeliest: Array
    free: int
    refine: Callable[[Array], Restricted] = field(repr=False)
    unmet: tuple[str, ...]
    loss: float
    residuals: Array = field(repr=False)

    @cached_property
    def found(self) -> Restricted:
        """Estimates by restricted likelihood, their covariance, and what is open."""
        return self.refine(self.likeliest)

    @property
    def x(self) -> Array:
        """The estimated vector, noises by restricted likelihood."""
        return self.found.x

    @property
    def covariance(self) -> Array:
        """Its covariance; zero for what is open."""
        return self.found.covariance

    @property
    def open(self) -> NDArray[np.bool_]:
        """Parameters that the likelihood does not depend on, and noises that are absent."""
        return self.found.open

    @cached_property
    def silent(self) -> bool:
        """Whether a noise is absent, so that residuals may be smaller than expected."""
        return any(np.isnan(self.errors[name]) for name in NOISES)

    @property
    def bic(self) -> float:
        """Schwarz's criterion (Ann. Stat. 6:461, 1978); smaller explains the data better, parameters considered.

        Akaike's would pick a richer model than the one that made the data in one of ten files, however long.
        """
        return 2 * self.loss + float(np.log(np.isfinite(self.residuals).sum())) * self.free

    @cached_property
    def values(self) -> dict[str, float]:
        """Estimates by name."""
        found = _values(self.candidate, self.x)
        ends = {"w_min": self.readings.ends[0], "w_max": self.readings.ends[1]}
        return found | {k: v for k, v in ends.items() if self.candidate.fixed_bounds or k in self.unmet}

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
        if name in NOISES:
            return self.noise(name)
        if not np.isfinite(error):
            return (0.0 if q.positive else -np.inf), np.inf
        low, high = float(self.x[k]) - Z95 * error, float(self.x[k]) + Z95 * error
        if not q.positive:
            return low, high
        ends = float(np.exp(low)), float(np.exp(high))
        return (-ends[1], -ends[0]) if name == "w_min" else ends

    def noise(self, name: str, rise: float = TWO_SIGMA) -> tuple[float, float]:
        """Interval of a noise, where the log-likelihood has fallen by ``rise``: the two noises of sparse readings can
        replace each other, which no standard error tells.
        """
        return self.found.noise([q.name for q in self.candidate.parameters].index(name), rise)

    def step(self, v: float, *, up: bool) -> float:
        """Size of one pulse at a state [w]."""
        return _step(self.candidate, self.x, self.readings, v, up)

    def raw_step(self, v: float, *, up: bool) -> float:
        """The same without the clipping at zero of nodes between which a step is interpolated [w]."""
        if self.candidate.code != responses.PIECEWISE:
            return self.step(v, up=up)
        places = np.linspace(*self.readings.ends, responses.NODES)
        nodes = [self.values[f"{'up' if up else 'down'}_{k}"] for k in range(responses.NODES)]
        return float(np.interp(v, places, nodes))

    def step_error(self, v: float, *, up: bool) -> float:
        """Standard error of a step [w], from the covariance of all parameters; open ones may be anything within e."""
        covariance = self.covariance + np.diag(np.where(self.open, FREE**2, 0.0))
        change = np.zeros(self.x.size)
        for k, error in enumerate(np.sqrt(np.maximum(np.diag(covariance), 0.0))):
            h = np.where(np.arange(self.x.size) == k, max(0.1 * float(error), 1e-9), 0.0)
            ends = [_step(self.candidate, self.x + s * h, self.readings, v, up) for s in (1, -1)]
            change[k] = (ends[0] - ends[1]) / (2 * h[k])
        return float(np.sqrt(max(float(change @ covariance @ change), 0.0)))


def _values(candidate: Candidate, x: Array) -> dict[str, float]:
    positive = [q.positive for q in candidate.parameters]
    numbers = np.where(positive, np.exp(np.minimum(x, 50.0)), x)
    found = {q.name: float(v) for q, v in zip(candidate.parameters, numbers, strict=True)}
    return found | ({"w_min": -found["w_min"]} if "w_min" in found else {})


def _step(candidate: Candidate, x: Array, readings: Readings, v: float, up: bool) -> float:
    q = unpack(candidate, x, readings.ends)
    return float(responses.step(candidate.code, q.p, q.low, q.high, v, up))


def fit(candidate: Candidate, readings: Readings) -> DeviceFit:
    """The most probable parameters of one device.

    Raises:
        ConfigError: too few pulses move the device.
    """
    residuals = np.full(readings.w.size, np.nan)
    loss = _loss(candidate, readings, residuals)
    box = limits(candidate, readings.ends, readings.floor)
    moves = _movable(candidate, readings)
    shapes = [starts(candidate, guess, readings.ends) for guess in _guesses(readings)]
    best = _global(loss, shapes, moves, box)
    unmet = _unmet_walls(loss, best, candidate, readings)
    if unmet.size:  # what was the best beside a wall may lead nowhere without it
        moves = np.setdiff1d(moves, unmet)
        shapes = [[best], *([_moved(x, unmet, best) for x in some] for some in shapes)]
        best = _global(loss, shapes, moves, box)
    value = loss(best)
    far = tuple(candidate.parameters[k].name for k in unmet)
    free = determined(loss, best, moves, candidate.parameters, box).size

    def refine(x: Array) -> Restricted:
        return restrict(loss, x, candidate.parameters, moves, box)

    loss(best)  # for its residuals
    return DeviceFit(readings, candidate, best, free, refine, far, value, residuals.copy())


def _loss(candidate: Candidate, readings: Readings, residuals: Array) -> Loss:
    def loss(x: Array) -> float:
        q = unpack(candidate, x, readings.ends)
        if not q.low < q.high or not np.isfinite(q.p).all():
            return IMPOSSIBLE
        value = surprise(
            candidate.code,
            q.p,
            q.low,
            q.high,
            candidate.additive,
            q.cycle,
            max(q.reading, readings.floor),
            readings.pulses,
            readings.starts,
            readings.w,
            residuals,
        )
        return float(value) if np.isfinite(value) else IMPOSSIBLE

    return loss


def _movable(candidate: Candidate, readings: Readings) -> NDArray[np.intp]:
    """Parameters that the data can speak about: without down pulses, those of the up step alone."""
    names = [q.name for q in candidate.parameters]
    return np.array([k for k, name in enumerate(names) if not (readings.one_way and is_down(name))], np.intp)


def is_down(name: str) -> bool:
    """Whether a parameter describes down pulses alone."""
    return "down" in name or name == "w_min"


def _guesses(readings: Readings) -> list[dict[str, float]]:
    """First guesses, which share the scatter between the two noises in several ways."""
    guess = readings.guess
    return [
        guess | {"cycle_noise": cycle * guess["cycle_noise"], "reading": reading * guess["reading"]}
        for cycle, reading in _SPLITS
    ]


def _global(loss: Loss, shapes: Sequence[Sequence[Array]], moves: NDArray[np.intp], box: Array) -> Array:
    """The best of several searches, from the likeliest of each group of shapes."""
    begins = [min(some, key=loss) for some in shapes]
    best = min((approach(loss, x, moves, box) for x in begins), key=loss)
    return settle(loss, best, moves, box)


def _moved(x: Array, which: NDArray[np.intp], there: Array) -> Array:
    """A vector with some of its numbers those of another."""
    moved = x.copy()
    moved[which] = there[which]
    return moved


def _unmet_walls(loss: Loss, x: Array, candidate: Candidate, readings: Readings) -> NDArray[np.intp]:
    """Hard bounds never met: moved far away, where they stay, the data are as likely."""
    if candidate.code not in (responses.CONSTANT, responses.LINEAR, responses.EXP):
        return np.array([], np.intp)
    found = []
    for k, q in enumerate(candidate.parameters):
        far = x.copy()
        far[k] = np.log(20 * (readings.ends[1] - readings.ends[0]))
        if q.name in _WALLS and loss(far) - loss(x) < WALL_EVIDENCE:
            x[k] = far[k]
            found.append(k)
    return np.array(found, np.intp)
