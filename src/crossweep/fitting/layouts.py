"""Every layout as one: rows of device, cycle, pulse number, polarity and conductance, in the order of measurement."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError
from crossweep.fitting.columns import DOWN, UP, Column
from crossweep.fitting.files import Sheet
from crossweep.fitting.numbers import is_missing, numbers
from crossweep.fitting.polarity import scatter
from crossweep.fitting.quantities import siemens

Array = NDArray[np.float64]
_READ = {"0", "read", "none", "rest", "verify"}
_START = {"start", "initial", "init", "begin"}


@dataclass(frozen=True)
class Rows:
    """Readings [t].

    Args:
        device: names.
        cycle: of whatever kind the file counts; empty where it does not.
        number: pulse numbers; NaN where the file has none.
        sign: +1, -1, 0 for a reading without a pulse; NaN where the polarity has to be inferred.
        start: the state was set anew before this reading, by other means than the pulses of the file.
        conductance: [S]; NaN where a reading is missing.
    """

    device: NDArray[np.str_]
    cycle: NDArray[np.str_]
    number: Array
    sign: Array
    start: NDArray[np.bool_]
    conductance: Array

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Rows":
        """Some of the rows."""
        return Rows(**{f.name: getattr(self, f.name)[rows] for f in fields(Rows)})

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """All of them, one after the other."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True)
class Given:
    """What a file leaves to its user.

    Args:
        unit: of the conductances, currents or resistances.
        read_voltage: turns currents into conductances [V].
    """

    unit: str | None = None
    read_voltage: float | None = None


def rows_of(sheet: Sheet, columns: Sequence[Column], given: Given) -> tuple[Rows, list[Column], list[str]]:
    """The rows of a table, the columns as they were used, and remarks (how its unit was found).

    Raises:
        ConfigError: a column that is needed cannot be told, or a unit is missing.
    """
    columns = by_content(sheet, columns)
    if any(c.role in ("up", "down") for c in columns):
        return _two_columns(sheet, columns, given)
    wide = side_by_side(columns)
    if wide:
        return _many_columns(sheet, columns, wide, given)
    found = [c for c in columns if c.role == "conductance"]
    if len(found) != 1:
        names = [c.name for c in (found or columns)]
        rule = "must have one column of conductances" if not found else "must tell one column of conductances"
        raise ConfigError(f"{sheet.path}: {rule}, got {names}; give --columns conductance=NAME")
    values, remark = siemens(sheet, found[0], columns, given.unit, given.read_voltage)
    return _frame(sheet, columns, values), list(columns), [remark]


def by_content(sheet: Sheet, columns: Sequence[Column]) -> list[Column]:
    """Roles of columns without a name, and of a cycle that is in truth the pulse number, from what they hold."""
    roles = [c.role for c in columns]
    for c in columns:
        texts = [t.strip().lower() for t in sheet.column(c.place)]
        values, _ = numbers(sheet.column(c.place), sheet.decimal)
        if c.role == "device" and len(texts) > 1 and len(set(texts)) == len(texts):
            roles[c.place] = "ignored"  # it numbers the rows
        if c.role == "polarity" and not set(np.abs(values[np.isfinite(values)])) <= {0.0, 1.0}:
            roles[c.place] = "voltage"
        if c.name or c.role != "ignored":
            continue
        if "polarity" not in roles and set(texts) <= UP | DOWN | {"0"} and len(set(texts)) > 1:
            roles[c.place] = "polarity"
        elif "pulse" not in roles and len(columns) <= 3 and _counts(values):
            roles[c.place] = "pulse"
    if "pulse" not in roles and "cycle" in roles:
        place = roles.index("cycle")
        values, _ = numbers(sheet.column(place), sheet.decimal)
        if _counts(values):
            roles[place] = "pulse"
    rest = [c.place for c in columns if roles[c.place] == "ignored" and (not c.name or len(columns) == 2)]
    if not {"conductance", "up", "down"} & set(roles) and len(rest) == 1:
        roles[rest[0]] = "conductance"
    return [Column(c.place, c.name, r, c.unit, c.quantity) for c, r in zip(columns, roles, strict=True)]


def _counts(values: Array) -> bool:
    """Whether a column of numbers counts row by row."""
    known = values[np.isfinite(values)]
    return bool(known.size > 2 and (known == np.rint(known)).all() and np.mean(np.diff(known) == 1) > 0.5)


def _frame(sheet: Sheet, columns: Sequence[Column], values: Array) -> Rows:
    """Rows of a table with one conductance per line."""
    n = len(values)
    number = np.full(n, np.nan)
    for c in columns:
        if c.role == "pulse":
            number, _ = numbers(sheet.column(c.place), sheet.decimal)
            if not np.isfinite(number).any():
                raise ConfigError(f"{sheet.path}: column {c.name!r} must hold pulse numbers")
    sign, start = _signs(sheet, columns, n)
    sign = _upward(sheet, columns, sign, values)
    return Rows(
        _joined(sheet, columns, "device", n), _joined(sheet, columns, "cycle", n), number, sign, start, values
    )


def _joined(sheet: Sheet, columns: Sequence[Column], role: str, n: int) -> NDArray[np.str_]:
    parts = [[t.strip() for t in sheet.column(c.place)] for c in columns if c.role == role]
    return np.array(["+".join(row) for row in zip(*parts, strict=True)] if parts else [""] * n, dtype=np.str_)


def _signs(sheet: Sheet, columns: Sequence[Column], n: int) -> tuple[Array, NDArray[np.bool_]]:
    """Polarity of every row, NaN where no column tells it, and rows that say that the state was set anew."""
    chosen = [c for c in columns if c.role == "polarity"] or [c for c in columns if c.role == "voltage"]
    if not chosen:
        return np.full(n, np.nan), np.zeros(n, bool)
    column = chosen[0]
    texts = np.array([t.strip().lower() for t in sheet.column(column.place)])
    values, _ = numbers(sheet.column(column.place), sheet.decimal)
    sign, start = np.full(n, np.nan), np.isin(texts, list(_START))
    for word in set(texts):
        here = texts == word
        if word in UP | DOWN:
            sign[here] = 1.0 if word in UP else -1.0
        elif word in _READ | _START or is_missing(word):
            sign[here] = 0.0
        elif np.isfinite(values[here]).all():
            sign[here] = np.sign(values[here])
        else:
            rule = "polarity must be +1 or -1 (or up/down, set/reset, P/D, or a voltage)"
            raise ConfigError(f"{sheet.path}: {rule}, got {str(sheet.column(column.place)[here.argmax()])!r}")
    _require_two_ways(sheet, column, values, sign)
    if column.role == "voltage" and not (sign < 0).any():
        sign[sign > 0] = np.nan  # one polarity of a voltage tells nothing about the direction
    return sign, start


def _upward(sheet: Sheet, columns: Sequence[Column], sign: Array, values: Array) -> Array:
    """Polarities such that up pulses raise the conductance; a voltage may be of either sign for that, a word not."""
    same = np.r_[False, (sign[1:] == sign[:-1]) & (sign[1:] != 0)]
    moved = np.nansum(np.where(same, sign * np.diff(values, prepend=np.nan), 0.0))
    noise = scatter(values, ~same) * np.sqrt(2 * max(int(np.sum(~same)), 1))
    if not moved < -5 * noise:
        return sign
    if not any(c.role == "polarity" for c in columns):
        return -sign
    raise ConfigError(
        f"{sheet.path}: up pulses lower the conductance and down pulses raise it; exchange the polarities, or give "
        "--unit kOhm if the values are resistances, or --columns voltage=NAME if the polarity is that of a voltage"
    )


def _require_two_ways(sheet: Sheet, column: Column, values: Array, sign: Array) -> None:
    """Codes like 0/1 or 1/2 mean something that a file does not say."""
    codes = set(values[np.isfinite(values)])
    if (codes and not (sign < 0).any() and len(codes - {0.0}) > 1) or (
        codes == {0.0, 1.0} and np.mean(sign == 0) > 0.2
    ):
        rule = "must tell up from down by sign or by word"
        raise ConfigError(
            f"{sheet.path}: column {column.name!r} {rule}, got {sorted(codes)[:5]}; write +1 and -1 there"
        )


def _two_columns(
    sheet: Sheet, columns: Sequence[Column], given: Given
) -> tuple[Rows, list[Column], list[str]]:
    """Potentiation and depression side by side: each cycle's up train, then its down train."""
    remarks, trains = [], []
    for order, role in enumerate(("up", "down")):
        for c in columns:
            if c.role == role:
                values, remark = siemens(sheet, c, columns, given.unit, given.read_voltage)
                rows = _frame(sheet, [d for d in columns if d.role not in ("polarity", "voltage")], values)
                rows.sign[:] = 1.0 if role == "up" else -1.0
                round_ = np.cumsum(np.diff(rows.number, prepend=np.inf) < 0)
                rows = rows.take(np.isfinite(values))
                trains.append((round_[np.isfinite(values)], np.full(len(rows.sign), order), rows))
                remarks.append(remark)
    turns, ways = (np.concatenate([t[k] for t in trains]) for k in (0, 1))
    every = Rows.joined([t[2] for t in trains])
    return every.take(np.lexsort((ways, turns))), list(columns), remarks[:1]


def side_by_side(columns: Sequence[Column]) -> list[Column]:
    """Columns that differ in a number only, with numbers in them: cycles or devices side by side."""
    free = [
        c
        for c in columns
        if (c.name == "" and c.role in ("conductance", "ignored"))
        or (re.search(r"\d", c.name) and c.role in ("conductance", "ignored", "cycle", "device", "pulse"))
    ]
    stems = Counter(_stem(c.name) for c in free)
    stem, count = stems.most_common(1)[0] if stems else ("", 0)
    return [c for c in free if _stem(c.name) == stem] if count > 1 else []


def _stem(name: str) -> str:
    return re.sub(r"\d+", "", name).strip().lower()


def _many_columns(
    sheet: Sheet, columns: Sequence[Column], wide: Sequence[Column], given: Given
) -> tuple[Rows, list[Column], list[str]]:
    """Cycles (or devices, if the names say so) as columns. Each column begins with a reading of its own start."""
    role = "device" if wide[0].role == "device" else "cycle"
    rest = [c for c in columns if c not in wide]
    used = [Column(c.place, c.name, "conductance" if c in wide else c.role, c.unit, "S") for c in columns]
    parts, remarks = [], []
    for k, c in enumerate(wide):
        values, remark = siemens(sheet, used[c.place], used, given.unit, given.read_voltage)
        rows = _frame(sheet, rest, values)
        name = np.full(len(values), c.name if role == "device" else str(k + 1))
        rows = Rows(**{**vars(rows), role: name})
        known = np.flatnonzero(np.isfinite(values))
        if known.size:
            rows.start[known[0]] = True
            parts.append(rows.take(np.arange(known[0], known[-1] + 1)))
            remarks.append(remark)
    return (
        Rows.joined(parts),
        used,
        [*remarks[:1], f"{len(parts)} {role}s as columns, each from its own start"],
    )
