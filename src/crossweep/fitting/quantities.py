"""What a column of numbers is in siemens: from its unit, from currents and a read voltage, from resistances."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError
from crossweep.fitting.columns import Column
from crossweep.fitting.files import Sheet
from crossweep.fitting.numbers import numbers, unit_of

Array = NDArray[np.float64]
LARGEST = 1.0  # conductance of a device that a number in siemens may mean [S]
_UNSAID = 0.1  # numbers up to here are siemens where nothing says a unit; microsiemens would be larger


def siemens(
    sheet: Sheet, column: Column, columns: Sequence[Column], unit: str | None, read_voltage: float | None
) -> tuple[Array, str]:
    """Conductances [t] [S] of a column, and how its unit was found.

    Raises:
        ConfigError: there is no unit, or a current without a read voltage.
    """
    values, behind = numbers(sheet.column(column.place), sheet.decimal)
    factor, base, source = _unit(sheet, column, values, behind, unit)
    values = values * factor
    if base == "A":
        volts, said = _read_voltage(sheet, columns, read_voltage)
        values, source = values / volts, f"{source}, read at {said}"
    elif base == "Ohm":
        with np.errstate(divide="ignore"):
            values = np.where(values > 0, 1 / values, np.nan)
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if largest > LARGEST:
        raise ConfigError(
            f"{sheet.path}: conductances must be at most {LARGEST:g} S, got {largest:.4g} S in {column.name!r} "
            f"({source}); give --unit uS (or S, mS, nS, uA, kOhm, ...)"
        )
    return values, source


def _unit(
    sheet: Sheet, column: Column, values: Array, behind: Sequence[str], unit: str | None
) -> tuple[Array | float, str, str]:
    """Factor, base unit, and in words where it comes from."""
    if unit is not None:
        found = unit_of(unit)
        if found is None or found[1] not in ("S", "A", "Ohm"):
            raise ConfigError(f"--unit: must be S, A or Ohm with a prefix (uS, nS, uA, kOhm), got {unit!r}")
        return *found, f"{unit}, as --unit says"
    written = {text for text in behind if text}
    if written:
        units = {text: unit_of(text) for text in written}
        known = {found[1] for found in units.values() if found is not None}
        if None in units.values() or len(known) != 1:
            raise ConfigError(f"{sheet.path}: units must be S, A or Ohm with a prefix, got {sorted(written)}")
        plain = column.unit or (np.nan, "")
        factors = np.array([(units[text] or plain)[0] if text else plain[0] for text in behind])
        return factors, known.pop(), f"{', '.join(sorted(written))} behind the values"
    if column.unit is not None:
        return *column.unit, f"{_written(column.unit)} in the header"
    if column.quantity == "S" and np.nanmax(np.abs(values), initial=0.0) < _UNSAID:
        return 1.0, "S", "S, from the size of the values"
    what = {"S": "uS", "A": "uA", "Ohm": "kOhm"}[column.quantity]
    raise ConfigError(
        f"{sheet.path}: the unit of {column.name!r} is not said (values up to "
        f"{np.nanmax(np.abs(values), initial=0.0):.4g}); give --unit {what} or what it is"
    )


def _written(unit: tuple[float, str]) -> str:
    prefix = {1.0: "", 1e-3: "m", 1e-6: "µ", 1e-9: "n", 1e-12: "p", 1e3: "k", 1e6: "M"}[unit[0]]
    return f"{prefix}{unit[1]}"


def _read_voltage(sheet: Sheet, columns: Sequence[Column], said: float | None) -> tuple[Array | float, str]:
    """Volts per row, and in words where they come from."""
    if said is not None:
        return said, f"{said:g} V"
    for c in columns:
        if c.role == "read_voltage":
            values, _ = numbers(sheet.column(c.place), sheet.decimal)
            return values * (c.unit or (1.0, "V"))[0], f"the voltage in {c.name!r}"
    for name, text in sheet.preamble.items():
        if name.lower().replace(" ", "").replace("_", "").startswith(("vread", "readvoltage")):
            try:
                volts = float(text.split()[0].rstrip("Vv").replace(",", "."))
            except (ValueError, IndexError):
                continue
            return volts, f"{volts:g} V ({name})"
    raise ConfigError(f"{sheet.path}: currents need the voltage they were read at; give --read-voltage 0.1")
