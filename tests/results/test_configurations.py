"""Which runs stand for one another: by what was set, not by what follows from it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from crossweep.axis import Axis
from crossweep.results.configurations import as_configured, mixed_keys, moved, seed_labels, split

AXIS = Axis(name="x", keys=("a.b",), low=0.0, high=1.0, configured=0.25)
Run = tuple[float | None, dict[str, Any] | None]
PLAIN: Run = (None, {"a.b": 0.25, "c": 1})


def runs(*told: Run) -> pd.DataFrame:
    """By the place on the axis that the trial set, and what the record says of the keys that vary."""
    varied = [() if place is None else ("x",) for place, _ in told]
    return pd.DataFrame(
        {"axis.x": [place for place, _ in told], "varied": varied, "settings": [own for _, own in told]}
    )


@pytest.mark.parametrize(
    ("seeds", "labels"),
    [
        ({"device": [0, 1], "training": [0, 1]}, ["0", "1"]),
        ({"device": [0, 0], "training": [4, 5]}, ["4", "5"]),
        ({"device": [0, 1, 1], "training": [0, 0, 1]}, ["0/0", "1/0", "1/1"]),
        ({"device": [3, 3], "training": [7, 7]}, ["3", "3"]),
        ({"device": [None, None], "training": [0, 1]}, ["0", "1"]),
    ],
)
def test_replicates_are_told_apart_by_every_seed_that_varies(
    seeds: dict[str, list[int]], labels: list[str]
) -> None:
    rows = pd.DataFrame({f"seed.{name}": pd.Series(values, dtype=object) for name, values in seeds.items()})
    assert list(seed_labels(rows)) == labels


def test_what_no_axis_drives_is_mixed() -> None:
    assert mixed_keys(runs(PLAIN, (0.5, {"a.b": 0.5, "c": 1})), [AXIS]) == {}
    assert mixed_keys(runs(PLAIN, (None, {"a.b": 0.5, "c": 1})), [AXIS]) == {"a.b": [0.25, 0.5]}
    assert mixed_keys(runs((0.5, {"a.b": 0.5, "c": 2}), PLAIN, PLAIN), [AXIS]) == {"c": [1, 2]}
    # a key that one of them does not have; what left no record says nothing
    assert mixed_keys(runs(PLAIN, PLAIN, (None, {"a.b": 0.25}), (None, None)), [AXIS]) == {"c": [1, "absent"]}


def test_mixed_runs_are_parted_and_the_unknown_goes_with_most() -> None:
    ((label, rows),) = split(runs(PLAIN, (0.5, {"a.b": 0.5, "c": 1})), [AXIS])
    assert label == "" and len(rows) == 2
    told = runs((0.5, {"a.b": 0.5, "c": 2}), PLAIN, (0.75, {"a.b": 0.75, "c": 1}), (None, None))
    parts = list(split(told, [AXIS]))
    assert [(label, list(rows.index)) for label, rows in parts] == [("c 1", [1, 2, 3]), ("c 2", [0])]


def test_a_run_has_moved_where_it_was_set_elsewhere_than_most() -> None:
    away: Run = (0.5, {"a.b": 0.5, "c": 1})
    assert moved(runs(PLAIN, away, PLAIN, (None, None)), [AXIS]).ravel().tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert moved(runs(PLAIN, away, away), [AXIS]).ravel().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (PLAIN, True),
        ((0.25, {"a.b": 0.25}), True),
        ((0.25 + 1e-9, {"a.b": 0.25}), True),
        ((0.26, {"a.b": 0.26}), False),
        ((None, None), False),
    ],
)
def test_a_run_is_as_configured_where_nothing_was_set_to_another_place(run: Run, expected: bool) -> None:
    assert as_configured(runs(run), [AXIS]).tolist() == [expected]
    unknown = Axis(name="x", keys=("a.b",), low=0.0, high=1.0)
    assert as_configured(runs(run), [unknown]).tolist() == [run == PLAIN]
