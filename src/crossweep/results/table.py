"""The tidy table of all runs.

Columns: `study, trial, seed, state, algorithm, folder`, `axis.<name>`, `choice.<group>`, `metric.<name>`,
`baseline.<which>.<name>`, `cost.<name>`, `wall_seconds, started, commit, dirty, hardware, version, retry_of,
error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossweep.axis import Axis


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A folder or file that is not in the table, and why."""

    folder: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study folder: its axes, what `study.json` said, and the settings of its first run."""

    name: str
    folder: Path
    axes: tuple[Axis, ...]
    described: Mapping[str, Any] = field(default_factory=dict)
    first_record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """All runs of one or many studies.

    Args:
        rows: one row per run; columns as in the module's docstring.
        studies: the studies in the order given.
        skipped: folders that could not be used, with reasons.
    """

    rows: pd.DataFrame
    studies: tuple[Study, ...]
    skipped: tuple[Skipped, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of all studies, merged by name (the widest range wins)."""
        merged: dict[str, Axis] = {}
        for axis in (a for study in self.studies for a in study.axes):
            merged[axis.name] = _widest(merged.get(axis.name), axis)
        return tuple(merged.values())


def _widest(one: Axis | None, other: Axis) -> Axis:
    if one is None or not one.numeric or not other.numeric:
        return other if one is None else one
    return one if np.ptp(one.ends) >= np.ptp(other.ends) else other
