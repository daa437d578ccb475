"""A file as a laboratory saved it, as a table of texts: encoding, separator, header and units found by content."""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd
from charset_normalizer import from_bytes

from crossweep.errors import ConfigError
from crossweep.fitting.numbers import decimal_mark, is_missing, is_number, unit_of

_SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma", r"\s+(?![\[(])": "spaces"}
_ENCODINGS = ["utf_8", "cp1252", "utf_16", "utf_32"]
_WORDY = {"-", "", "1", "#", "a.u.", "arb. units"}  # what a row of units says of columns that have none


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Args:
        path: the file.
        encoding: of its text.
        separator: of its columns, in words.
        decimal: its decimal mark.
        header: names of the columns; empty texts if the file names none.
        units: units of the columns, as a row below the header says; empty texts otherwise.
        cells: one column of texts per column of the file.
        preamble: what instrument lines above the table say, by their first field.
        dropped: lines left out, and why.
    """

    path: Path
    encoding: str
    separator: str
    decimal: str
    header: tuple[str, ...]
    units: tuple[str, ...]
    cells: pd.DataFrame
    preamble: dict[str, str]
    dropped: tuple[str, ...]

    def column(self, place: int) -> "pd.Series[str]":
        """The texts of one column."""
        return self.cells.iloc[:, place].astype(str)


def read_sheet(path: Path, *, decimal: str | None = None) -> Sheet:
    """The table in a file (``.gz`` is unpacked). Only lines that *begin* with ``#`` are comments.

    Args:
        path: the file.
        decimal: its decimal mark, where the numbers leave it open.

    Raises:
        ConfigError: there is no such file, it is no text, or it holds no table of numbers.
    """
    text, encoding = read_text(path)
    comments, lines = _parted(text)
    separator, rows = _split(lines, path)
    try:
        mark = decimal or decimal_mark(cell for row in rows for cell in row)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    width = _width(rows)
    start, header = _header(rows, comments, separator, width, path)
    units: tuple[str, ...] = ("",) * width
    if start < len(rows) and _is_units(rows[start], width):
        units, start = tuple(rows[start]), start + 1
    kept = [row for row in rows[start:] if len(row) == width and any(map(is_number, row))]
    lost = len(rows) - start - len(kept)
    dropped = (f"{lost} without numbers or with another number of fields",) if lost else ()
    first = start if not any(header) else start - 1 - any(units)
    preamble = {row[0].strip(): row[1].strip() for row in rows[:first] if len(row) > 1}
    cells = pd.DataFrame(kept, columns=range(width), dtype=str)
    return Sheet(path, encoding, _SEPARATORS[separator], mark, header, units, cells, preamble, dropped)


def read_text(path: Path) -> tuple[str, str]:
    """The text of a file, and its encoding."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ConfigError(f"{path}: is a spreadsheet; save it as CSV")
    found = from_bytes(content, cp_isolation=_ENCODINGS).best()
    if found is None or (b"\0" in content and not found.encoding.startswith("utf_")):
        raise ConfigError(f"{path}: is no text (save the measurement as CSV, UTF-8)")
    return str(found).lstrip("\ufeff"), found.encoding


def _parted(text: str) -> tuple[list[str], list[str]]:
    """Comments and other lines."""
    lines = [line for line in text.splitlines() if line.strip()]
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return comments, [line for line in lines if not line.startswith("#")]


def _fields(line: str, separator: str) -> list[str]:
    if len(separator) > 1:
        return re.split(separator, line.strip())
    return [cell.strip() for cell in next(csv.reader(StringIO(line), delimiter=separator))]


def _split(lines: Sequence[str], path: Path) -> tuple[str, list[list[str]]]:
    """The separator that shows the most numbers, and the fields of every line."""
    sample = lines[:300]

    def shown(separator: str) -> int:
        rows = [_fields(line, separator) for line in sample]
        width = _width(rows)
        return sum(is_number(cell) for row in rows if len(row) == width for cell in row)

    if not any(is_number(cell) for line in sample for s in _SEPARATORS for cell in _fields(line, s)):
        raise ConfigError(f"{path}: holds no table with rows of numbers")
    best = max(_SEPARATORS, key=shown)  # the first of equals
    return best, [_fields(line, best) for line in lines]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Fields of most lines; those with numbers count more than a long preamble."""
    counts = Counter(len(row) for row in rows if any(map(is_number, row)))
    return counts.most_common(1)[0][0] if counts else 1


def _header(
    rows: Sequence[Sequence[str]], comments: Sequence[str], separator: str, width: int, path: Path
) -> tuple[int, tuple[str, ...]]:
    """Where what follows the header begins, and the names; a commented header counts if there is no other."""
    for k, row in enumerate(rows):
        if len(row) == width and not any(map(is_number, row)) and sum(map(bool, row)) > width / 2:
            following = rows[k + 1 : k + 3]
            if any(len(r) == width and any(map(is_number, r)) for r in following):
                return k + 1, tuple(row)
    start = next(k for k, row in enumerate(rows) if len(row) == width and any(map(is_number, row)))
    said = _fields(comments[-1], separator) if comments else []
    if len(said) == width and not any(map(is_number, said)):
        return start, tuple(said)
    return start, ("",) * width


def _is_units(row: Sequence[str], width: int) -> bool:
    """A row that names units, and nothing else."""
    if len(row) != width or any(map(is_number, [cell for cell in row if cell != "1"])):
        return False
    return any(map(unit_of, row)) and all(
        unit_of(cell) or is_missing(cell) or cell.lower() in _WORDY for cell in row
    )
