"""Which column of a table means what: by its unit, by its name, or as the user says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossweep.errors import ConfigError
from crossweep.fitting.files import Sheet
from crossweep.fitting.numbers import unit_of

UP = {
    "+",
    "+1",
    "1",
    "up",
    "p",
    "pot",
    "ltp",
    "set",
    "potentiation",
    "positive",
    "pos",
    "increase",
    "program",
}
DOWN = {"-", "-1", "down", "d", "dep", "ltd", "reset", "depression", "negative", "neg", "decrease", "erase"}
ROLES = (
    "pulse",
    "polarity",
    "voltage",
    "conductance",
    "up",
    "down",
    "device",
    "cycle",
    "read_voltage",
    "time",
)
# the first that shares a word with a header wins
_WORDS: Sequence[tuple[str, set[str]]] = (
    (
        "ignored",
        {"width", "duration", "delay", "timestamp", "date", "temperature", "std", "sem", "error"},
    ),
    ("time", {"time", "t", "elapsed"}),
    ("voltage", {"voltage", "amplitude", "v", "vpulse", "vp", "vg", "bias"}),
    ("polarity", {"polarity", "direction", "sign", "type", "operation", "mode"}),
    (
        "device",
        {"device", "dut", "cell", "chip", "die", "wafer", "array", "row", "col", "column", "wl", "bl", "id"},
    ),
    ("cycle", {"cycle", "cyc", "loop", "repetition", "rep", "run", "sweep", "iteration"}),
    ("up", UP - {"+", "+1", "1", "p", "pos"}),
    ("down", DOWN - {"-", "-1", "d", "neg"}),
    ("conductance", {"conductance", "g", "gds", "current", "i", "ids", "resistance", "r"}),
    ("pulse", {"pulse", "pulses", "n", "no", "number", "num", "index", "count", "step"}),
)
_BY_NAME = {
    "current": "A",
    "i": "A",
    "ids": "A",
    "resistance": "Ohm",
    "r": "Ohm",
}  # what is no conductance without a unit
_READ = {"vread", "readvoltage"}


@dataclass(frozen=True)
class Column:
    """What one column means.

    Args:
        place: of the column.
        name: as the file says.
        role: one of ``ROLES``, or ``ignored``.
        unit: factor and base unit, if the file says one.
        quantity: base unit that the name implies where there is no unit (``S``, ``A``, ``Ohm``).
    """

    place: int
    name: str
    role: str
    unit: tuple[float, str] | None
    quantity: str


def columns(sheet: Sheet, said: Mapping[str, Sequence[str]]) -> list[Column]:
    """All columns of a table.

    Args:
        sheet: the table.
        said: columns that the user names, by role: header (with or without unit) or number from 1.

    Raises:
        ConfigError: a named column does not exist.
    """
    found = [_column(sheet, place) for place in range(len(sheet.header))]
    chosen = {_place(sheet, name): role for role, names in said.items() for name in names}
    taken = set(chosen.values()) | ({"polarity", "voltage"} if {"polarity", "voltage"} & set(said) else set())
    merged = []
    for column in found:
        role = chosen.get(column.place, "ignored" if column.role in taken else column.role)
        merged.append(Column(column.place, column.name, role, column.unit, column.quantity))
    return merged


def _column(sheet: Sheet, place: int) -> Column:
    name = sheet.header[place].strip()
    bare, unit = _parts(name)
    unit = unit_of(sheet.units[place]) or unit
    words = [w for w in re.split(r"[^a-z+\-0-9]+|(?<=[a-z])(?=\d)", bare.lower()) if w]
    if not words and "#" in bare:
        words = ["pulse"]
    quantity = next((_BY_NAME[w] for w in words if w in _BY_NAME), "S")
    role = _role(words, unit)
    if unit is not None and unit[1] == "s" and role in ("conductance", "up", "down"):
        unit = unit[0], "S"  # nobody measures a conductance in seconds
    return Column(place, name, role, unit, quantity)


def _parts(name: str) -> tuple[str, tuple[float, str] | None]:
    """A header without its unit, and the unit: ``G [uS]``, ``G (uS)``, ``G / uS``, ``G, uS``, ``G_uS``, ``G in uS``."""
    found = re.search(r"^(.*?)\s*(?:[\[(]\s*([^\])]*)[\])]\s*$|(?:/|,|\bin\b)\s*(\w+)$|[_\s](\w{2,})$)", name)
    if found:
        unit = unit_of(found[2] or found[3] or found[4] or "")
        if unit is not None or found[2] is not None:
            return found[1], unit
    return name, None


def _role(words: Sequence[str], unit: tuple[float, str] | None) -> str:
    joined = "".join(words)
    if joined in _READ or ("read" in words and {"voltage", "v"} & set(words)):
        return "read_voltage"
    ways = [role for role in ("up", "down") if set(dict(_WORDS)[role]) & set(words)]
    if unit is not None and unit[1] in ("S", "A", "Ohm") and not {"std", "sem", "error"} & set(words):
        return ways[0] if len(ways) == 1 else "conductance"
    if unit is not None and unit[1] == "V":
        return "voltage"
    return next((role for role, known in _WORDS if known & set(words)), "ignored")


def _place(sheet: Sheet, name: str) -> int:
    plain = name.strip().lower()
    for place, header in enumerate(sheet.header):
        if header and plain in (header.strip().lower(), _parts(header.strip())[0].lower()):
            return place
    if plain.isdigit() and 1 <= int(plain) <= len(sheet.header):
        return int(plain) - 1
    known = ", ".join(filter(None, sheet.header)) or f"1 to {len(sheet.header)}"
    raise ConfigError(f"--columns: {sheet.path} has no column {name!r}, but: {known}")


def parse_said(text: str | None) -> dict[str, list[str]]:
    """``pulse=Pulse No.,device=chip+cell`` as columns by role.

    Raises:
        ConfigError: it is none, or names an unknown role.
    """
    said: dict[str, list[str]] = {}
    for part in filter(None, (text or "").split(",")):
        role, equals, names = part.partition("=")
        if not equals or role.strip() not in ROLES:
            raise ConfigError(
                f"--columns: must be role=column with role one of {', '.join(ROLES)}, got {part!r}"
            )
        said[role.strip()] = [name for name in names.split("+") if name.strip()]
    return said
