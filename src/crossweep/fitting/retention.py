"""How a device forgets: drift exponent, decay and diffusion from conductances over the time after programming."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from crossweep.errors import ConfigError
from crossweep.fitting.columns import Column, columns
from crossweep.fitting.files import Sheet, read_sheet
from crossweep.fitting.fit import Z95
from crossweep.fitting.layouts import by_content, side_by_side
from crossweep.fitting.numbers import numbers
from crossweep.fitting.optimise import approach, curvature, reaches, settle
from crossweep.fitting.quantities import siemens
from crossweep.fitting.reading import Layout
from crossweep.fitting.readings import FLOOR
from crossweep.fitting.scale import Scale

Array = NDArray[np.float64]
# [s]; beside s with a prefix
_LONGER = {"sec": 1.0, "min": 60.0, "h": 3600.0, "hr": 3600.0, "d": 86400.0, "yr": 31557600.0}
_LONGER |= {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "year": 31557600.0}
_FEWEST = 8  # readings of a series
_KINDS = ("drift", "decay", "diffusion")
_NAMES = {"drift": ("nu",), "decay": ("rate", "reset"), "diffusion": ("diffusion",)}


@dataclass(frozen=True)
class Series:
    """One device after one programming.

    Args:
        name: of the device.
        seconds: since programming, ascending, > 0 [t].
        w: readings [t] [w].
    """

    name: str
    seconds: Array
    w: Array


@dataclass(frozen=True)
class Retention:
    """What explains the series best.

    Args:
        names: parameters: ``nu``, ``rate`` [1/s], ``reset`` [w], ``diffusion`` [w per square root of s], ``reading`` [w].
        x: estimates, logarithms but for ``reset``.
        errors: standard errors of them.
        bic: Schwarz's criterion.
        residual: root mean square of the standardised residuals; 1 is ideal.
    """

    names: tuple[str, ...]
    x: Array
    errors: Array
    bic: float
    residual: float

    @cached_property
    def values(self) -> dict[str, tuple[float, float, float]]:
        """Estimate and 95 % interval by name."""
        found = {}
        for name, x, error in zip(self.names, self.x, self.errors, strict=True):
            ends = [float(x + share * error) for share in (0.0, -Z95, Z95)]
            middle, low, high = ends if name == "reset" else [float(np.exp(end)) for end in ends]
            found[name] = (middle, low, high)
        return found

    def keys(self) -> dict[str, float]:
        """Of the configuration; a mini-batch is a second."""
        found = {key: 0.0 for kind in ("drift_nu", "lifetime", "diffusion") for key in (kind, f"{kind}_dtod")}
        value = {name: v[0] for name, v in self.values.items()}
        if "nu" in value:
            found["drift_nu"] = value["nu"]
        if "rate" in value:
            found |= {
                "lifetime": float(1 / -np.expm1(-value["rate"])),
                "reset": value["reset"],
                "reset_dtod": 0.0,
            }
        if "diffusion" in value:
            found["diffusion"] = value["diffusion"]
        return found

    def rows(self) -> list[tuple[str, str, str]]:
        """What, how much, and its 95 % interval."""
        label = {
            "nu": "drift exponent [1]", "reset": "decays towards [w]", "diffusion": "diffusion [w / sqrt(s)]",
            "reading": "reading noise [w]",
        }  # fmt: skip
        found = []
        for name, (middle, low, high) in self.values.items():
            if name == "rate":
                found.append(("lifetime [s]", f"{1 / middle:.4g}", f"{1 / high:.4g} .. {1 / low:.4g}"))
            else:
                found.append((label[name], f"{middle:.4g}", f"{low:.4g} .. {high:.4g}"))
        absent = [kind for kind in _KINDS if not set(_NAMES[kind]) <= set(self.names)]
        return [*found, *((kind, "none", "not needed by the data") for kind in absent)]


def read_retention(path: Path, scale: Scale, layout: Layout) -> list[Series]:
    """Conductance over time: a column of times, one of conductances (and of devices), or devices as columns.

    Raises:
        ConfigError: no column of times or of conductances, or too few readings.
    """
    sheet = read_sheet(path, decimal=layout.decimal)
    found = by_content(sheet, columns(sheet, {}))
    times = [c for c in found if c.role == "time"]
    if len(times) != 1:
        raise ConfigError(f"{path}: must have one column of times, e.g. time [s], got {list(sheet.header)}")
    values, _ = numbers(sheet.column(times[0].place), sheet.decimal)
    seconds = values * _seconds(times[0], sheet)
    rest = [c for c in found if c.role != "time"]
    wide = side_by_side(rest)
    chosen = (
        wide or [c for c in rest if c.role == "conductance"] or [c for c in rest if c.role == "ignored"][-1:]
    )
    if not chosen or (len(chosen) > 1 and not wide):
        raise ConfigError(
            f"{path}: must have one column of conductances, or several alike, got {list(sheet.header)}"
        )
    label = [c for c in rest if c.role == "device"] if not wide else []
    names = ["+".join(row) for row in zip(*(sheet.column(c.place) for c in label), strict=True)] or [
        ""
    ] * len(seconds)
    series = []
    for c in chosen:
        g, _ = siemens(sheet, c, found, layout.given.unit, layout.given.read_voltage)
        w = (g - scale.centre) / scale.half
        series += _split(c.name if wide else "", np.array(names), seconds, w)
    if not series:
        raise ConfigError(f"{path}: needs at least {_FEWEST} readings after programming, at times above 0")
    return series


def _seconds(column: Column, sheet: Sheet) -> float:
    """Seconds in the unit of a column of times; one second where nothing says a unit.

    Raises:
        ConfigError: it is no unit of time.
    """
    if column.unit is not None and column.unit[1] == "s":
        return column.unit[0]
    stated = sheet.units[column.place] or "".join(re.findall(r"[\[(]\s*([^\])]*?)\s*[\])]\s*$", column.name))
    last = re.split(r"[\s/_,]+", column.name)[-1]
    for name in (stated, last):
        if (longer := _LONGER.get(name.lower().rstrip("s"))) is not None:
            return longer
    if re.fullmatch(r"[A-Za-zµμ]+", stated):
        raise ConfigError(f"{sheet.path}: times must be in s (ms, µs, ...), min, h, d or yr, got {stated!r}")
    return 1.0


def _split(column: str, names: NDArray[np.str_], seconds: Array, w: Array) -> list[Series]:
    """One series for each device and each time that the clock begins anew."""
    known = np.isfinite(seconds) & np.isfinite(w) & (seconds > 0)
    found = []
    for name in dict.fromkeys(names[known].tolist()):
        here = np.flatnonzero(known & (names == name))
        for part in np.split(here, np.flatnonzero(np.diff(seconds[here]) <= 0) + 1):
            if part.size >= _FEWEST:
                found.append(Series(column or str(name) or "device", seconds[part], w[part]))
    return found


def fit_retention(series: Sequence[Series]) -> Retention:
    """The simplest mixture of drift, decay and diffusion that explains all series.

    Raises:
        ConfigError: none does.
    """
    kinds = [c for n in range(len(_KINDS) + 1) for c in combinations(_KINDS, n)]
    best = min((_fit(series, chosen) for chosen in kinds), key=lambda r: r.bic)
    if not 0.7 < best.residual < 1.3:
        raise ConfigError(
            f"retention: neither drift nor decay nor diffusion explains the readings (residuals {best.residual:.2g} of "
            "what is expected)"
        )
    return best


def _fit(series: Sequence[Series], kinds: Sequence[str]) -> Retention:
    names = (*(name for kind in kinds for name in _NAMES[kind]), "reading")
    longest = max(float(s.seconds[-1]) for s in series)
    shortest = min(float(np.diff(s.seconds).min()) for s in series)
    steps = np.concatenate([np.diff(s.w) for s in series])
    typical = max(float(np.std(steps)) / np.sqrt(2), 2 * FLOOR)
    end = float(np.mean([s.w[-1] for s in series]))
    box = {
        "nu": (np.log(1e-5), np.log(3.0)), "rate": (np.log(1e-2 / longest), np.log(1 / shortest)), "reset": (-3.0, 3.0),
        "diffusion": (np.log(1e-7), np.log(1.0)), "reading": (np.log(FLOOR), np.log(2.0)),
    }  # fmt: skip
    limits = np.array([box[name] for name in names])
    residuals: list[Array] = []

    def loss(x: Array) -> float:
        p = {name: float(v if name == "reset" else np.exp(v)) for name, v in zip(names, x, strict=True)}
        total = 0.0
        residuals.clear()
        for s in series:
            found = np.full(s.w.size, np.nan)
            total += _surprise(
                s.seconds, s.w, p.get("nu", 0.0), p.get("rate", 0.0), p.get("reset", 0.0), p.get("diffusion", 0.0),
                p["reading"], found,
            )  # fmt: skip
            residuals.append(found)
        return total if np.isfinite(total) else 1e10

    every = np.arange(len(names))
    spread = {
        "nu": (0.01, 0.1),
        "rate": (0.3 / longest, 10 / longest),
        "diffusion": (typical / np.sqrt(longest),),
    }
    tried = []
    for k in range(2):
        start = {name: np.log(options[min(k, len(options) - 1)]) for name, options in spread.items()}
        start |= {"reset": end if k else 0.0, "reading": np.log(typical)}
        tried.append(approach(loss, np.array([start[name] for name in names]), every, limits))
    x = settle(loss, min(tried, key=loss), every, limits)
    reach = reaches(loss, x, every)
    inverse = np.linalg.pinv(curvature(loss, x, every, reach), hermitian=True)
    errors = np.sqrt(np.maximum(np.diag(inverse), 0.0)) * reach
    value = loss(x)
    z = np.concatenate(residuals)
    z = z[np.isfinite(z)]
    bic = 2 * value + np.log(z.size) * len(names)
    return Retention(names, x, errors, float(bic), float(np.sqrt(np.mean(z**2))))


@njit(cache=True)
def _surprise(
    seconds: Array,
    w: Array,
    nu: float,
    rate: float,
    reset: float,
    diffusion: float,
    reading: float,
    residuals: Array,
) -> float:
    """Negative log-likelihood of a series after its first reading (a Kalman filter)."""
    m, var, total = w[0], reading**2, 0.0
    for k in range(1, w.size):
        gap = seconds[k] - seconds[k - 1]
        left, drift = np.exp(-rate * gap), (seconds[k] / seconds[k - 1]) ** -nu
        grown = diffusion**2 * (gap if rate * gap < 1e-9 else (1 - left**2) / (2 * rate))
        m, var = (reset + (m - reset) * left) * drift, (var * left**2 + grown) * drift**2
        spread, off = var + reading**2, w[k] - m
        residuals[k] = off / np.sqrt(spread)
        total += 0.5 * (np.log(2 * np.pi * spread) + off * off / spread)
        m, var = m + var / spread * off, var * (1 - var / spread)
    return total
