"""Numbers as people and instruments write them: decimal commas, thousands, ``1.2D-5``, units behind the value."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.errors import ConfigError

Array = NDArray[np.float64]
MISSING = {"", "-", "--", "---", "n/a", "na", "#n/a", "nan", "null", "none", "?", "*", "overflow", "ovld"}
_BODY = r"[+-]?(?:\d[\d .,'\u00a0\u202f]*|[.,]\d+)(?:[eEdD][+-]?\d+)?"
NUMBER = re.compile(rf"^\s*({_BODY})\s*([A-Za-zµμΩΩ%]*)\s*$")
_PREFIX = {"": 1.0, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6}
_BASES = {
    "S": "S",
    "s": "s",
    "A": "A",
    "V": "V",
    "\u03a9": "Ohm",
    "\u2126": "Ohm",
    "Ohm": "Ohm",
    "ohm": "Ohm",
}
_BASES |= {"Ohms": "Ohm", "ohms": "Ohm", "Siemens": "S", "siemens": "S"}


def is_number(text: str) -> bool:
    """Whether a cell is a number, with or without a unit."""
    return NUMBER.match(text) is not None


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.strip().lower() in MISSING


def unit_of(text: str) -> tuple[float, str] | None:
    """Factor and base unit (``S``, ``A``, ``V``, ``Ohm``, ``s``) of a unit as written; None for anything else."""
    name = text.strip().strip("[]()").strip()
    for base in sorted(_BASES, key=len, reverse=True):
        head = name[: len(name) - len(base)]
        if name.endswith(base) and head in _PREFIX:
            return _PREFIX[head], _BASES[base]
    return None


def decimal_mark(cells: Iterable[str]) -> str:
    """The decimal mark of a file, from all of its numbers.

    Raises:
        ConfigError: the numbers contradict each other, or each could be read both ways (``13,955``).
    """
    votes, unclear = {".": "", ",": ""}, ""
    for cell in cells:
        found = NUMBER.match(cell)
        body = re.split("[eEdD]", found[1])[0].strip() if found else ""
        if "," not in body and "." not in body:
            continue
        mark = _mark(body)
        if mark is None:
            unclear = unclear or cell
        elif not votes[mark]:
            votes[mark] = cell
    if votes["."] and votes[","]:
        raise ConfigError(
            f"decimal marks must agree, got {votes['.']!r} and {votes[',']!r}; give --decimal , or --decimal ."
        )
    if unclear and not (votes["."] or votes[","]):
        raise ConfigError(f"{unclear!r} could be read with either mark; give --decimal , or --decimal .")
    return "," if votes[","] else "."


def _mark(body: str) -> str | None:
    """The decimal mark that one number shows; None where ``13,955`` leaves it open."""
    last = max(".,", key=body.rfind)
    other = "," if last == "." else "."
    if other in body:
        return last
    if body.count(last) > 1:
        return other  # thousands
    head, _, tail = body.partition(last)
    if (
        last == ","
        and len(tail) == 3
        and 1 <= len(head.strip("+-")) <= 3
        and not head.strip("+-").startswith("0")
    ):
        return None
    return last


def numbers(column: "pd.Series[str]", decimal: str) -> tuple[Array, list[str]]:
    """Values [t], NaN where there is none, and the unit behind each (empty where none is written)."""
    parts = column.str.extract(NUMBER)
    body = parts[0].str.replace(r"[ '\u00a0\u202f]", "", regex=True).str.replace("[dD]", "e", regex=True)
    body = body.str.replace("." if decimal == "," else ",", "", regex=False).str.replace(
        decimal, ".", regex=False
    )
    values = pd.to_numeric(body, errors="coerce").to_numpy(np.float64)
    return values, [str(unit) for unit in parts[1].fillna("")]
