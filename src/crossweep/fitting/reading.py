"""The files of a measurement as pulse trains, and in a short table what was understood."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crossweep.errors import ConfigError
from crossweep.fitting.columns import DOWN, UP, Column, columns
from crossweep.fitting.files import Sheet, read_sheet
from crossweep.fitting.layouts import Given, Rows, rows_of
from crossweep.fitting.polarity import direction
from crossweep.fitting.trains import Trains, trains_of

_UNUSED = ("ignored", "time")  # by pulse trains


@dataclass(frozen=True)
class Layout:
    """What a user says about the files where they leave it open.

    Args:
        said: columns by role.
        given: unit and read voltage.
        decimal: mark of the numbers.
        zero: whether rows numbered 0 were read ``before`` or ``after`` a train's first pulse.
    """

    said: Mapping[str, Sequence[str]] = field(default_factory=dict)
    given: Given = field(default_factory=Given)
    decimal: str | None = None
    zero: str | None = None


@dataclass(frozen=True)
class Recording:
    """Pulse trains, and what was understood: pairs of what and how."""

    trains: tuple[Trains, ...]
    understood: tuple[tuple[str, str], ...]


def read(paths: Sequence[Path], layout: Layout | None = None) -> Recording:
    """All devices in the files of one measurement.

    Files that hold one direction each (SET and RESET) belong to one device, named by what their names share;
    any other file holds devices of its own.

    Raises:
        ConfigError: a file cannot be understood; the message says what to give.
    """
    layout = layout or Layout()
    parts, understood = [], []
    for path in paths:
        sheet = read_sheet(path, decimal=layout.decimal)
        rows, used, remarks = rows_of(sheet, columns(sheet, layout.said), layout.given)
        rows, dropped = _usable(rows)
        if not rows.sign.size:
            raise ConfigError(f"{path}: no row has a pulse number and a conductance")
        parts.append(_named(_directed(rows, path), path, alone=len(paths) == 1))
        understood += _about_sheet(sheet, used, remarks, dropped)
    every = _interleaved(parts)
    where = ", ".join(str(path) for path in paths)
    trains = tuple(
        trains_of(str(name), every.take(every.device == name), where, layout.zero)
        for name in dict.fromkeys(every.device.tolist())
    )
    return Recording(trains, (*understood, *_about_trains(trains)))


def _usable(rows: Rows) -> tuple[Rows, str]:
    """Rows with a number (where numbers are) and a polarity (where polarities are), and what was left out."""
    lost = np.zeros(rows.sign.size, bool)
    reasons = []
    for values, what in ((rows.number, "pulse number"), (rows.sign, "polarity")):
        missing = np.isnan(values) & ~rows.start & ~lost
        if missing.any() and not np.isnan(values).all():
            reasons.append(f"{int(missing.sum())} without a {what}")
            lost |= missing
    return rows.take(~lost), ", ".join(reasons)


def _directed(rows: Rows, path: Path) -> Rows:
    """Files of one direction: all trains end on the same side, and no polarity was given."""
    if not np.isnan(rows.sign).all():
        return rows
    edges = np.flatnonzero(rows.start | (np.diff(rows.number, prepend=np.inf) < 0))
    ways = {
        direction(span) for span in np.split(rows.conductance, edges[edges > 0]) if np.isfinite(span).any()
    }
    if len(ways) != 1 or 0.0 in ways:
        return rows
    (way,) = ways
    said = {w for w in re.split(r"[^a-z]+", path.stem.lower()) if w in UP | DOWN}
    if said and (said <= UP) != (way > 0) and (said <= UP or said <= DOWN):
        word = "raise" if way > 0 else "lower"
        raise ConfigError(
            f"{path}: its pulses {word} the conductance, which its name denies; add a column polarity"
        )
    return Rows(**{**vars(rows), "sign": np.full(rows.sign.size, way)})


def _named(rows: Rows, path: Path, *, alone: bool) -> Rows:
    """Names of the devices: those of the file, in front of them what its name says where there are several."""
    words = re.split(r"([^A-Za-z0-9]+)", path.name.partition(".")[0])
    one_way = not ((rows.sign > 0).any() and (rows.sign < 0).any()) and not np.isnan(rows.sign).any()
    kept = [w for w in words if w.lower() not in UP | DOWN] if one_way else words
    stem = "" if alone else re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", "".join(kept))
    names = [":".join(filter(None, (stem, str(name)))) or "device" for name in rows.device]
    return Rows(**{**vars(rows), "device": np.array(names, dtype=np.str_)})


def _interleaved(parts: Sequence[Rows]) -> Rows:
    """Up and down trains of files of one direction in turn, as they were given; other files one after the other."""
    every = Rows.joined(parts)
    ways = [set(np.sign(p.sign)) - {0.0} for p in parts]
    if len(parts) < 2 or not all(len(w) == 1 for w in ways):
        return every
    order = []
    for k, part in enumerate(parts):
        new = part.start | (np.diff(part.number, prepend=np.inf) < 0)
        new[0] = True
        part.start[new] = True  # whatever happened between two files
        order.append(2 * np.cumsum(new) + (0 if 1.0 in ways[k] else 1))
    return every_sorted(Rows.joined(parts), np.concatenate(order))


def every_sorted(rows: Rows, key: np.ndarray) -> Rows:
    """Rows in the order of ``key``, equals as they are."""
    return rows.take(np.argsort(key, kind="stable"))


def _about_sheet(
    sheet: Sheet, used: Sequence[Column], remarks: Sequence[str], dropped: str
) -> list[tuple[str, str]]:
    names = [c.name or f"column {c.place + 1}" for c in used]
    roles = [
        f"{n} = {c.role.replace('_', ' ')}" for n, c in zip(names, used, strict=True) if c.role not in _UNUSED
    ]
    ignored = [n for n, c in zip(names, used, strict=True) if c.role in _UNUSED]
    found = [
        (
            "file",
            f"{sheet.path.name} ({sheet.encoding.replace('_', '-')}, {sheet.separator}, decimal {sheet.decimal!r})",
        ),
        ("columns", _short(roles)),
        ("ignored", _short(ignored)),
        ("unit", remarks[0]),
        ("layout", ", ".join(remarks[1:])),
        ("rows dropped", ", ".join(filter(None, (*sheet.dropped, dropped)))),
    ]
    return [(what, how) for what, how in found if how]


def _short(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= 8 else [*names[:3], f"... ({len(names)} in all)", names[-1]]
    return ", ".join(shown)


def _about_trains(trains: Sequence[Trains]) -> list[tuple[str, str]]:
    ups = [_lengths(t, 1) for t in trains]
    downs = [_lengths(t, -1) for t in trains]
    missing = sum(int(np.isnan(t.conductance).sum()) for t in trains)
    restarts = sum(int(t.fresh.sum()) - 1 for t in trains)
    readings = sum(t.conductance.size for t in trains)
    found = [
        ("devices", f"{len(trains)}: {_short([t.device for t in trains])}" if len(trains) > 1 else "1"),
        ("trains", f"{_span([len(u) for u in ups])} up, {_span([len(d) for d in downs])} down per device"),
        (
            "pulses per train",
            f"{_span([n for u in ups for n in u])} up, {_span([n for d in downs for n in d])} down",
        ),
        ("readings", f"{readings}" + (f", {missing} missing" if missing else "")),
        ("restarts", f"{restarts} readings begin anew (state set by other means)" if restarts else ""),
        ("decided", "; ".join(dict.fromkeys(r for t in trains for r in t.remarks))),
    ]
    return [(what, how) for what, how in found if how]


def _lengths(trains: Trains, way: int) -> list[int]:
    """Pulses of every train of one direction."""
    sign = np.sign(trains.pulses)
    place = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.size), 0))
    sign = sign[place]
    edges = np.flatnonzero((np.diff(sign, prepend=sign[0]) != 0) | trains.fresh)
    sums = np.add.reduceat(trains.pulses, edges) if edges.size else np.array([], np.int64)
    return [int(abs(s)) for s in sums if s * way > 0]


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "none"
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
