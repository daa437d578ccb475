"""Which runs may stand for one another: those whose configurations differ in nothing but their seeds.

`reading` leaves two columns for this: `varied`, the axes that the trial itself set, and `settings`, its value of
every key in which the study's runs differ. A run that left no record (`settings` is missing) is taken to be
configured like most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.axis import Axis, number_text
from crossweep.results.parse import ABSENT, under

SHOWN = 2  # keys named in the label of a part


def seed_labels(rows: pd.DataFrame) -> pd.Series:
    """[n] what tells replicates apart: every seed that varies, as one text."""
    columns = [c for c in rows.columns if str(c).startswith("seed.") and rows[c].notna().any()] or ["seed"]
    texts = rows[columns].astype(object).where(rows[columns].notna(), "none").astype(str)
    varying = [c for c in columns if texts[c].nunique() > 1] or columns[:1]
    if all((texts[c] == texts[varying[0]]).all() for c in varying):
        return texts[varying[0]]
    return texts[varying].agg("/".join, axis=1)


def mixed_keys(rows: pd.DataFrame, axes: Sequence[Axis]) -> dict[str, list[Hashable]]:
    """Keys in which runs differ although no axis that they set drives them, with the values found.

    Args:
        rows: runs of one group.
        axes: numeric axes of the study.
    """
    drives = {a.name: a.keys for a in axes}
    settings, varied = _settings(rows), list(rows["varied"])
    found: dict[str, list[Hashable]] = {}
    for key in dict.fromkeys(k for s in settings if s for k in s):
        driving = {name for name, keys in drives.items() if under(key, keys)}
        values = Counter(
            s.get(key, ABSENT) for s, v in zip(settings, varied) if s is not None and not driving & set(v)
        )
        if len(values) > 1:
            found[key] = [value for value, _ in values.most_common()]
    return found


def split(rows: pd.DataFrame, axes: Sequence[Axis]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows in parts of one configuration each, with what tells a part from the others; one part: no label."""
    mixed = mixed_keys(rows, axes)
    if not mixed:
        yield "", rows
        return
    drives = {a.name: a.keys for a in axes}

    def own(settings: Mapping[str, Hashable] | None, varied: Sequence[str], key: str) -> Hashable:
        # what an axis sets, and what is not known, goes with the most common
        driven = settings is None or any(under(key, drives.get(name, ())) for name in varied)
        return mixed[key][0] if driven or settings is None else settings.get(key, ABSENT)

    labels = [
        tuple(own(s, v, key) for key in mixed) for s, v in zip(_settings(rows), rows["varied"], strict=True)
    ]
    for label, _ in Counter(labels).most_common():
        chosen = np.array([one == label for one in labels])
        yield _named(dict(zip(mixed, label))), rows[chosen]


def moved(rows: pd.DataFrame, axes: Sequence[Axis]) -> NDArray[np.bool_]:
    """[n, k] whether a run stands elsewhere than most runs along an axis.

    Judged by what was set, not by what follows from it: a step of the device also changes its number of states.
    """
    columns = []
    for axis in axes:
        held = [_held(axis, *run) for run in zip(_places(rows, axis), _settings(rows), rows["varied"])]
        usual = Counter(one for one in held if one is not None).most_common(1)
        columns.append([one is not None and one != usual[0][0] for one in held])
    return np.array(columns, dtype=bool).reshape(len(axes), len(rows)).T


def _held(
    axis: Axis, place: float, settings: Mapping[str, Hashable] | None, varied: Sequence[str]
) -> Hashable:
    """What was set along an axis: a place, else what the configuration has; None where nobody knows."""
    if axis.name in varied:
        return f"{place:.9g}"
    return None if settings is None else tuple(settings.get(key) for key in axis.keys)


def _places(rows: pd.DataFrame, axis: Axis) -> pd.Series:
    return pd.to_numeric(rows[f"axis.{axis.name}"], errors="coerce").astype(float)


def as_configured(rows: pd.DataFrame, axes: Sequence[Axis]) -> NDArray[np.bool_]:
    """[n] whether a run is the device as configured: no axis set, or set to what is configured anyway."""
    alike = np.ones(len(rows), dtype=bool)
    for axis in axes:
        set_ = np.array([axis.name in v for v in rows["varied"]], dtype=bool)
        known = np.nan if axis.configured is None else axis.configured
        away = np.abs(axis.to_unit(_places(rows, axis)) - axis.to_unit(known))
        alike &= ~set_ | (away < 1e-6)
    return np.asarray(alike & np.array([s is not None for s in _settings(rows)], dtype=bool))


def _settings(rows: pd.DataFrame) -> list[dict[str, Hashable] | None]:
    return [s if isinstance(s, dict) else None for s in rows["settings"]]


def _named(values: Mapping[str, Hashable]) -> str:
    texts = [f"{k} {number_text(v) if isinstance(v, float) else v}" for k, v in list(values.items())[:SHOWN]]
    more = len(values) - SHOWN
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
