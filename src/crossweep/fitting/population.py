"""Several measured devices: which model explains them, how they spread, and the configuration's keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from crossweep.errors import ConfigError
from crossweep.fitting import responses
from crossweep.fitting.candidates import Candidate, keys, unpack
from crossweep.fitting.fit import Z95, DeviceFit, Readings, fit
from crossweep.fitting.trains import Trains

Array = NDArray[np.float64]
WAYS = ("up", "down")
TARGETS = {
    "constant_step": "crossweep.devices.constant_step.ConstantStep",
    "linear_step": "crossweep.devices.linear_step.LinearStep",
    "soft_bounds": "crossweep.devices.soft_bounds.SoftBounds",
    "pow_step": "crossweep.devices.pow_step.PowStep",
    "exp_step": "crossweep.devices.exp_step.ExpStep",
    "piecewise_step": "crossweep.devices.piecewise_step.PiecewiseStep",
}


@dataclass(frozen=True)
class Scale:
    """How conductances become weights: ``w = (g - centre) / half``.

    Args:
        centre: conductance of weight 0 [S].
        half: conductance per unit of weight [S].
    """

    centre: float
    half: float

    @classmethod
    def of(cls, trains: Sequence[Trains], ends: tuple[float, float] | None = None) -> "Scale":
        """From stated conductances of -1 and +1, else from the devices' mean smallest and largest reading."""
        if ends is None:
            low = float(np.mean([np.nanmin(t.conductance) for t in trains]))
            high = float(np.mean([np.nanmax(t.conductance) for t in trains]))
        else:
            low, high = ends
        if not low < high:
            raise ConfigError(
                f"--range: the conductance of -1 must be below that of +1, got {low:g} and {high:g} S"
            )
        return cls((low + high) / 2, (high - low) / 2)

    def readings(self, trains: Trains) -> Readings:
        """The trains of one device, normalised."""
        return Readings(
            trains.device, trains.pulses, (trains.conductance - self.centre) / self.half, trains.fresh
        )


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
    def aic(self) -> float:
        """Summed over the devices, which are independent."""
        return sum(f.aic for f in self.fits)

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
        return float(np.corrcoef(both.T)[0, 1])

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Every parameter over the devices."""
        names = [
            *(q.name for q in self.candidate.parameters),
            *(("w_max", "w_min") if self._walls_fixed else ()),
        ]
        return {name: self._estimate(name) for name in names}

    @property
    def _walls_fixed(self) -> bool:
        return self.candidate.fixed_bounds

    def _estimate(self, name: str) -> Estimate:
        values = np.array([f.values[name] for f in self.fits])
        mean = float(values.mean())
        if len(self.fits) == 1:
            low, high = self.fits[0].interval(name) if name in self.fits[0].errors else (mean, mean)
            return Estimate(mean, low, high, 0.0)
        sampling = np.array([self._error(f, name) for f in self.fits])
        variance = float(values.var(ddof=1))
        reach = float(stats.t.isf(0.025, len(values) - 1)) * np.sqrt(variance / len(values))
        between = variance - float(np.nanmean(sampling**2)) if np.isfinite(sampling).any() else variance
        return Estimate(mean, mean - reach, mean + reach, float(np.sqrt(max(between, 0.0))))

    def _error(self, device: DeviceFit, name: str) -> float:
        """Standard error of one device's parameter, in its own unit."""
        if name not in device.errors:
            return 0.0
        positive = next(q.positive for q in self.candidate.parameters if q.name == name)
        return device.errors[name] * (abs(device.values[name]) if positive else 1.0)

    @cached_property
    def symmetry_points(self) -> Array:
        """State at which each device's steps balance; NaN if it has none."""
        return np.array([_balance(f) for f in self.fits])


@dataclass(frozen=True)
class Measurement:
    """A fitted measurement.

    Args:
        source: the CSV.
        scale: conductances of the weights.
        models: every candidate, the most probable first.
    """

    source: Path
    scale: Scale
    models: tuple[ModelFit, ...]

    @property
    def best(self) -> ModelFit:
        """The model with the smallest AIC."""
        return self.models[0]

    @property
    def rivals(self) -> tuple[ModelFit, ...]:
        """Other models that the data cannot tell from the best one: an AIC less than 2 above."""
        return tuple(m for m in self.models[1:] if m.aic - self.best.aic < 2)


def fit_all(
    source: Path, trains: Sequence[Trains], scale: Scale, candidates: Sequence[Candidate]
) -> Measurement:
    """Fit every device to every candidate.

    Raises:
        ConfigError: the data cannot determine the best model's steps.
    """
    readings = [scale.readings(t) for t in trains]
    models = [ModelFit(candidate, tuple(fit(candidate, r) for r in readings)) for candidate in candidates]
    measurement = Measurement(source, scale, tuple(sorted(models, key=lambda m: m.aic)))
    _require_determined(measurement)
    return measurement


def _require_determined(measurement: Measurement) -> None:
    for device in measurement.best.fits:
        for name in ("step_up", "step_down"):
            if measurement.best.candidate.code == responses.PIECEWISE:
                continue
            error = device.errors[name]
            if not error * Z95 < np.log(3):
                factor = np.exp(min(error * Z95, 50.0)) if np.isfinite(error) else np.inf
                noise = device.values["reading_noise"]
                raise ConfigError(
                    f"{measurement.source}: device {device.readings.device!r} cannot determine "
                    f"{name.replace('_', ' ')}: its 95 % interval spans a factor of {factor:.3g} either way "
                    f"(3 is allowed); the pulses drown in noise of {noise:.2g} of the range, record more"
                )


def _balance(device: DeviceFit) -> float:
    q = unpack(device.candidate, device.x, device.readings.ends)
    low, high = (device.values["w_min"], device.values["w_max"])

    def excess(v: float) -> float:
        up, down = (
            responses.step(device.candidate.code, q.p, q.low, q.high, v, way) for way in (True, False)
        )
        return float(up - down)

    if device.candidate.code == responses.CONSTANT or not excess(low) > 0 > excess(high):
        return float("nan")
    return float(optimize.brentq(excess, low, high))


def device_keys(model: ModelFit) -> dict[str, object]:
    """The configuration of the mean device and of the spread between devices."""
    mean = {name: estimate.mean for name, estimate in model.estimates.items()}
    own = keys(model.candidate, mean)
    up, down = _number(own.pop("step_up")), _number(own.pop("step_down"))
    size = max(up, down)  # the asymmetry is one-sided: it shrinks the smaller step
    found: dict[str, object] = {
        "_target_": TARGETS[model.candidate.name],
        "dw_min": size,
        "up_down": 1 - down / up if up >= down else up / down - 1,
        "dw_min_std": mean["cycle_noise"],
        "write_noise_std": mean["reading_noise"] / size,
        "w_max": _number(own.pop("w_max")),
        "w_min": _number(own.pop("w_min")),
    }
    return found | _spreads(model, mean) | own


def _spreads(model: ModelFit, mean: Mapping[str, float]) -> dict[str, object]:
    """Device-to-device spreads, sampling error removed; zero for a single device."""
    found: dict[str, object] = {
        "w_max_dtod": model.estimates["w_max"].spread / mean["w_max"],
        "w_min_dtod": model.estimates["w_min"].spread / -mean["w_min"],
    }
    gain, split, noise = _gains(model)
    size = gain.mean()
    free = max(float(gain.var(ddof=1)) - noise, 0.0) if gain.size > 1 else 0.0
    apart = max(float(split.var(ddof=1)) - noise, 0.0) if gain.size > 1 else 0.0
    log_normal = gain.size > 7 and stats.skew(gain) > stats.skew(np.log(gain)) + 1
    found["dw_min_dtod"] = float(np.log(gain).std(ddof=1)) if log_normal else float(np.sqrt(free)) / size
    found["dw_min_dtod_log_normal"] = bool(log_normal)
    found["up_down_dtod"] = float(np.sqrt(apart)) / size
    for key, name in (("gamma_up_dtod", "gamma_up"), ("gamma_down_dtod", "gamma_down")):
        if name in model.estimates:
            bound = mean["w_max"] if name == "gamma_up" else -mean["w_min"]
            found[key] = model.estimates[name].spread * bound
    if "pow_gamma_up" in model.estimates:
        spread = np.mean(
            [model.estimates[f"pow_gamma_{way}"].spread / mean[f"pow_gamma_{way}"] for way in WAYS]
        )
        found["pow_gamma_dtod"] = float(spread)
    return found


def _gains(model: ModelFit) -> tuple[Array, Array, float]:
    """Half sum and half difference of each device's steps at zero, and the sampling variance of either."""
    if model.candidate.code == responses.PIECEWISE:
        middle = responses.NODES // 2
        names = (f"up_{middle}", f"down_{middle}")
    else:
        names = ("step_up", "step_down")
    up, down = (np.array([f.values[name] for f in model.fits]) for name in names)
    errors = np.array([[model._error(f, name) for name in names] for f in model.fits])
    return (up + down) / 2, (up - down) / 2, float(np.nanmean((errors**2).sum(1)) / 4)


def _number(value: object) -> float:
    assert isinstance(value, float | int)
    return float(value)
