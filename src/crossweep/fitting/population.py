"""One model for several measured devices: means, intervals and spreads of its parameters, residuals, symmetry points."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from crossweep.fitting import responses
from crossweep.fitting.candidates import Candidate
from crossweep.fitting.fit import DeviceFit, is_down

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A parameter over the measured devices: mean, its 95 % interval, and the spread between devices."""

    mean: float
    low: float
    high: float
    spread: float


@dataclass(frozen=True)
class ModelFit:
    """All devices under one candidate."""

    candidate: Candidate
    fits: tuple[DeviceFit, ...]

    @property
    def bic(self) -> float:
        """Summed over the devices, which are independent."""
        return sum(f.bic for f in self.fits)

    @property
    def residual(self) -> float:
        """Root mean square of the standardised innovations; 1 if the model explains the scatter."""
        every = np.concatenate([f.residuals[np.isfinite(f.residuals)] for f in self.fits])
        return float(np.sqrt(np.mean(every**2)))

    @property
    def memory(self) -> float:
        """Correlation of consecutive innovations; 0 if the model leaves nothing to explain."""
        pairs = [(a, b) for f in self.fits for a, b in zip(f.residuals[:-1], f.residuals[1:], strict=True)]
        both = np.array([pair for pair in pairs if np.isfinite(pair).all()])
        return float(np.corrcoef(both.T)[0, 1]) if len(both) > 2 and both.std(0).min() > 0 else 0.0

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Every parameter over the devices."""
        names = [
            *(q.name for q in self.candidate.parameters),
            *(("w_max", "w_min") if self.candidate.fixed_bounds else ()),
        ]
        return {name: self._estimate(name) for name in names if not (self.one_way and is_down(name))}

    @property
    def one_way(self) -> bool:
        """Whether the devices were pulsed upwards alone."""
        return all(f.readings.one_way for f in self.fits)

    def _estimate(self, name: str) -> Estimate:
        values = np.array([f.values[name] for f in self.fits])
        mean = float(values.mean())
        if len(self.fits) == 1:
            low, high = self.fits[0].interval(name) if name in self.fits[0].errors else (mean, mean)
            return Estimate(mean, low, high, 0.0)
        sampling = np.array([self.error(f, name) for f in self.fits])
        variance = float(values.var(ddof=1))
        reach = float(stats.t.isf(0.025, len(values) - 1)) * np.sqrt(variance / len(values))
        between = variance - float(np.nanmean(sampling**2)) if np.isfinite(sampling).any() else variance
        return Estimate(mean, mean - reach, mean + reach, float(np.sqrt(max(between, 0.0))))

    def error(self, device: DeviceFit, name: str) -> float:
        """Standard error of one device's parameter, in its own unit."""
        if name not in device.errors:
            return 0.0
        positive = next(q.positive for q in self.candidate.parameters if q.name == name)
        return device.errors[name] * (abs(device.values[name]) if positive else 1.0)

    @cached_property
    def symmetry_points(self) -> Array:
        """State at which each device's steps balance; NaN if it has none."""
        return np.array([_balance(f) for f in self.fits])


def _balance(device: DeviceFit) -> float:
    if device.readings.one_way:
        return float("nan")
    low, high = (device.values["w_min"], device.values["w_max"])

    def excess(v: float) -> float:
        return device.step(v, up=True) - device.step(v, up=False)

    if device.candidate.code == responses.CONSTANT or not excess(low) > 0 > excess(high):
        return float("nan")
    return float(optimize.brentq(excess, low, high))
