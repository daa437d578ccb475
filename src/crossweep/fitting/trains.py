"""Reads pulse trains as they are recorded: pulse number, polarity, conductance, optional device."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.errors import ConfigError

Array = NDArray[np.float64]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "pulse": ("pulse", "pulse_number", "pulses", "n", "number", "index", "cycle"),
    "polarity": ("polarity", "direction", "sign", "type", "operation"),
    "conductance": ("conductance", "g", "current", "i"),
    "device": ("device", "device_id", "cell", "cell_id", "id"),
}
_UP = {"+", "+1", "1", "up", "p", "pot", "ltp", "set", "potentiation", "positive", "pos"}
_DOWN = {"-", "-1", "down", "d", "dep", "ltd", "reset", "depression", "negative", "neg"}
_REST = {"", "0", "start", "initial", "nan", "read", "none"}
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "ps": 1e-12}
FEWEST = 20  # pulses of each polarity that a fit needs
MOST = 10_000_000  # pulses of one device


@dataclass(frozen=True)
class Trains:
    """The readings of one device, in order.

    Args:
        device: its name.
        pulses: signed number of pulses since the reading before, up positive [t]; the first is not used.
        conductance: readings [t] [S]; NaN where one is missing.
    """

    device: str
    pulses: NDArray[np.int64]
    conductance: Array


def read_trains(path: Path, *, unit: str | None = None) -> list[Trains]:
    """All devices of a CSV.

    Rows are in the order of measurement. Columns, by any of the usual names: pulse number (restarting with
    each train or going on), polarity (+1/-1, up/down, potentiation/depression, set/reset), conductance after
    that pulse, and optionally a device id. A unit in the header (``G [uS]``, ``conductance_uS``) is honoured;
    the default is siemens. Missing conductances are allowed; a gap in the pulse numbers means pulses without
    a reading.

    Args:
        path: the file.
        unit: unit of the conductance, if the header does not say it.

    Raises:
        ConfigError: the file or its content cannot be understood.
    """
    table = _table(path)
    columns = _columns(table, path)
    scale = _scale(columns["conductance"], unit)
    number = pd.to_numeric(table[columns["pulse"]], errors="coerce")
    sign = _signs(table[columns["polarity"]], path)
    value = pd.to_numeric(table[columns["conductance"]], errors="coerce") * scale
    names = (
        table[columns["device"]].astype(str)
        if "device" in columns
        else pd.Series("device", index=table.index)
    )
    keep = number.notna() & sign.notna()
    if not keep.any():
        raise ConfigError(f"{path}: no row has a pulse number and a polarity")
    found = []
    for name in names[keep].unique():
        rows = keep & (names == name)
        found.append(_one(str(name), number[rows], sign[rows], value[rows], path))
    return found


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        table = pd.read_csv(path, sep=None, engine="python", comment="#", skipinitialspace=True)
    except (ValueError, csv.Error, pd.errors.ParserError) as error:
        raise ConfigError(f"{path}: is not a table of comma-separated values ({error})") from error
    if table.empty:
        raise ConfigError(f"{path}: holds no rows")
    return table


def _plain(header: str) -> str:
    """A header without its unit, in lower case with underscores."""
    name = header.strip().lower().split("[")[0].split("(")[0].strip().replace(" ", "_").replace("-", "_")
    head, _, tail = name.rpartition("_")
    return head if head and tail in _UNITS else name


def _columns(table: pd.DataFrame, path: Path) -> dict[str, str]:
    plain = {_plain(str(header)): str(header) for header in table.columns}
    table.columns = [str(header) for header in table.columns]
    found = {}
    for role, names in _NAMES.items():
        for name in names:
            if name in plain:
                found[role] = plain[name]
                break
    missing = [role for role in ("pulse", "polarity", "conductance") if role not in found]
    if missing:
        needed = "pulse, polarity, conductance and optionally device"
        raise ConfigError(f"{path}: must have columns {needed}; no {missing[0]} among {list(table.columns)}")
    return found


def _scale(header: str, unit: str | None) -> float:
    """Siemens per number."""
    said = header.replace("(", "[").replace(")", "]")
    inside = said[said.find("[") + 1 : said.find("]")] if "[" in said else said.rpartition("_")[2]
    name = (unit or (inside if inside.strip().lower() in _UNITS else "S")).strip().lower()
    if name not in _UNITS:
        raise ConfigError(f"--unit: must be one of S, mS, uS, nS, pS, got {unit!r}")
    return _UNITS[name]


def _signs(column: "pd.Series[str]", path: Path) -> "pd.Series[float]":
    def sign(value: object) -> float:
        text = str(value).strip().lower()
        text = text[:-2] if text.endswith(".0") else text
        if text in _UP or text in _DOWN:
            return 1.0 if text in _UP else -1.0
        if text in _REST:
            return 0.0
        raise ConfigError(f"{path}: polarity must be +1 or -1 (or up/down, set/reset, P/D), got {value!r}")

    return column.map(sign)


def _one(
    name: str, number: "pd.Series[float]", sign: "pd.Series[float]", value: "pd.Series[float]", path: Path
) -> Trains:
    n, s = number.to_numpy(float), sign.to_numpy(float)
    step = np.diff(n, prepend=n[0])
    # a train that starts its own count: number after the first pulse is that many pulses
    fresh = (np.diff(s, prepend=s[0]) != 0) & (step <= 0) | (step < 0)
    pulses = np.asarray(np.where(fresh, n, step) * s, dtype=np.float64)
    pulses[0] = 0
    # a fit goes pulse by pulse, so a mistyped number would never end
    if not np.abs(pulses).sum() <= MOST:
        raise ConfigError(
            f"{path}: device {name!r} must have at most {MOST:,} pulses, got {np.abs(pulses).sum():,.0f}"
        )
    conductance = value.to_numpy(float)
    for way, word in ((1, "up"), (-1, "down")):
        given = int(np.abs(pulses[(pulses * way > 0) & np.isfinite(conductance)]).sum())
        if given < FEWEST:
            rule = f"needs at least {FEWEST} {word} pulses with a conductance"
            raise ConfigError(f"{path}: device {name!r} {rule} to determine a model, got {given}")
    spread = np.nanmax(conductance) - np.nanmin(conductance)
    if not spread > 1e-9 * np.nanmax(np.abs(conductance)):
        raise ConfigError(
            f"{path}: device {name!r} never changes its conductance, so no step can be determined"
        )
    return Trains(name, np.rint(pulses).astype(np.int64), np.asarray(conductance, dtype=np.float64))
