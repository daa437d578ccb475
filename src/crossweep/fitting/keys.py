"""A fitted model as keys of the configuration: the mean device, and the spread between devices."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crossweep.fitting import responses
from crossweep.fitting.candidates import keys
from crossweep.fitting.population import ModelFit

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


def device_keys(model: ModelFit) -> dict[str, object]:
    """The configuration of the mean device and of the spread between devices."""
    mean = {name: estimate.mean for name, estimate in model.estimates.items()}
    if model.one_way:
        mean = _mirrored(model, mean)
    own = keys(model.candidate, mean)
    up, down = _number(own.pop("step_up")), _number(own.pop("step_down"))
    down = up if model.one_way else down
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
    found |= _spreads(model, mean) | own
    return {**found, **(_PAIR if model.one_way else {})}


# a pair of which each device only rises saturates, so it is rewritten; how often is chosen
_PAIR: Mapping[str, object] = {"w_min": 0.0, "n_devices": 2, "update_policy": "one_sided", "refresh_every": 1}


def _mirrored(model: ModelFit, mean: Mapping[str, float]) -> dict[str, float]:
    """The parameters of down pulses, which nobody gave: those of the up pulses; the range begins at 0."""
    names = [q.name for q in model.candidate.parameters if "down" in q.name]
    return {**mean, "w_min": 0.0} | {name: mean[name.replace("down", "up")] for name in names}


def _spreads(model: ModelFit, mean: Mapping[str, float]) -> dict[str, object]:
    """Device-to-device spreads, sampling error removed; zero for a single device."""
    found: dict[str, object] = {
        "w_max_dtod": model.estimates["w_max"].spread / mean["w_max"],
        "w_min_dtod": 0.0 if model.one_way else model.estimates["w_min"].spread / -mean["w_min"],
    }
    gain, split, noise = _gains(model)
    size = gain.mean()
    free = max(float(gain.var(ddof=1)) - noise, 0.0) if gain.size > 1 else 0.0
    apart = max(float(split.var(ddof=1)) - noise, 0.0) if gain.size > 1 else 0.0
    log_normal = gain.size > 7 and (gain > 0).all() and stats.skew(gain) > stats.skew(np.log(gain)) + 1
    found["dw_min_dtod"] = float(np.log(gain).std(ddof=1)) if log_normal else float(np.sqrt(free)) / size
    found["dw_min_dtod_log_normal"] = bool(log_normal)
    found["up_down_dtod"] = float(np.sqrt(apart)) / size
    for key, name in (("gamma_up_dtod", "gamma_up"), ("gamma_down_dtod", "gamma_down")):
        if name in model.estimates:
            bound = mean["w_max"] if name == "gamma_up" else -mean["w_min"]
            found[key] = model.estimates[name].spread * bound
    if "pow_gamma_up" in model.estimates:
        ways = WAYS[:1] if model.one_way else WAYS
        spread = np.mean(
            [model.estimates[f"pow_gamma_{way}"].spread / mean[f"pow_gamma_{way}"] for way in ways]
        )
        found["pow_gamma_dtod"] = float(spread)
    return found


def _gains(model: ModelFit) -> tuple[Array, Array, float]:
    """Half sum and half difference of each device's steps at zero, and the sampling variance of either."""
    middle = f"_{responses.NODES // 2}" if model.candidate.code == responses.PIECEWISE else ""
    names = [f"{way}{middle}" if middle else f"step_{way}" for way in WAYS]
    names = [names[0]] * 2 if model.one_way else names
    up, down = (np.array([f.values[name] for f in model.fits]) for name in names)
    errors = np.array([[model.error(f, name) for name in names] for f in model.fits])
    return (up + down) / 2, (up - down) / 2, float(np.nanmean((errors**2).sum(1)) / 4)


def _number(value: object) -> float:
    assert isinstance(value, float | int)
    return float(value)
