"""Published tables of the change of conductance per pulse: its distribution at each conductance, in two layouts.

*Quantiles*: a row of conductances, a row of cumulative probabilities, then the change [S]: a row for each probability, a
column for each conductance. *Distribution*: conductances, changes and their cumulative probability in files of their own
(rows = conductance, columns = change). One file, or one set of files, for each direction.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError
from crossweep.fitting.columns import DOWN, UP
from crossweep.fitting.files import read_text

Array = NDArray[np.float64]
_WAYS = UP | DOWN | {"increasing", "decreasing"}


@dataclass(frozen=True)
class Moments:
    """Change of one pulse over conductance.

    Args:
        conductance: ascending [n] [S].
        mean: of the change [n] [S].
        std: of it over cycles [n] [S].
    """

    conductance: Array
    mean: Array
    std: Array


def published(paths: Sequence[Path]) -> tuple[Moments, Moments | None] | None:
    """The up and the down pulses of a published table; None if the files are none.

    Raises:
        ConfigError: a file is missing, or the files do not hold one table for each direction.
    """
    rows = [_rows(path) for path in paths]
    found = [_of_quantiles(r) for r in rows]
    if all(one is not None for one in found):
        tables = [one for one in found if one is not None]
    else:
        groups: dict[str, list[list[Array]]] = {}
        for path, r in zip(paths, rows, strict=True):
            groups.setdefault(_direction(path), []).append(r)
        sets = [_of_distribution(group) for group in groups.values()]
        if any(one is None for one in sets):
            return None
        tables = [one for one in sets if one is not None]
    up, down = ([t for t in tables if np.sign(t.mean.sum()) == way] for way in (1, -1))
    if len(up) != 1 or len(down) > 1:
        names = ", ".join(map(str, paths))
        raise ConfigError(f"{names}: must hold one table of rising changes, and at most one of falling ones")
    return up[0], down[0] if down else None


def _rows(path: Path) -> list[Array]:
    """The rows of numbers of a file; lines of words are left out."""
    text, _ = read_text(path)
    found = []
    for line in text.splitlines():
        try:
            found.append(
                np.array([float(cell) for cell in re.split(r"[,;\s]+", line.strip(" ,;\t")) if cell])
            )
        except ValueError:
            continue
    return [row for row in found if row.size]


def _direction(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.name.lower())
    return next((w for w in words if w in _WAYS), "")


def _ascending(row: Array) -> bool:
    return bool(row.size > 2 and (np.diff(row) > 0).all())


def _of_quantiles(rows: Sequence[Array]) -> Moments | None:
    if len(rows) < 5:
        return None
    states, shares, changes = rows[0], rows[1], rows[2:]
    if len(changes) != shares.size or any(row.size != states.size for row in changes):
        return None
    if not (_ascending(states) and (np.diff(shares) >= 0).all() and shares[0] >= 0 and shares[-1] <= 1):
        return None
    matrix = np.stack(changes)
    if not (np.diff(matrix, axis=0) > -1e-6 * np.ptp(matrix)).all():
        return None  # quantiles rise with the probability
    # the probability that each point stands for: half way to its neighbours
    edges = np.concatenate([[0.0], (shares[1:] + shares[:-1]) / 2, [1.0]])
    weight = np.diff(edges)[:, None]
    mean = (weight * matrix).sum(0)
    return Moments(states, mean, np.sqrt((weight * (matrix - mean) ** 2).sum(0)))


def _of_distribution(files: Sequence[Sequence[Array]]) -> Moments | None:
    axes = [np.concatenate(rows) for rows in files if all(row.size == 1 for row in rows) or len(rows) == 1]
    grids = [
        np.stack(rows)
        for rows in files
        if len(rows) > 1 and len({row.size for row in rows}) == 1 and rows[0].size > 1
    ]
    if len(axes) != 2 or len(grids) != 1 or not all(map(_ascending, axes)):
        return None
    (cumulative,) = grids
    fits = [(a, b) for a, b in (axes, axes[::-1]) if a[0] >= 0 and cumulative.shape == (a.size, b.size)]
    if not fits:
        return None
    states, changes = fits[0] if len(fits) == 1 or fits[0][1][0] < 0 else fits[1]
    share = np.diff(np.maximum.accumulate(cumulative, 1), prepend=0.0)
    share[:, -1] += np.maximum(1 - share.sum(1), 0.0)  # what lies beyond the table
    middle = np.concatenate([[changes[0]], (changes[1:] + changes[:-1]) / 2])
    mean = share @ middle
    return Moments(states, mean, np.sqrt(np.maximum(share @ middle**2 - mean**2, 0.0)))
