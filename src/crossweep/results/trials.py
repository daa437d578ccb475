"""The table of all trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd

from crossweep.axis import Axis
from crossweep.results.html import Cell, Link, html_table
from crossweep.results.table import Table

MOST_ROWS = 600  # all of them are in results.csv
_CHOICES = ("device", "model", "data", "task")  # told where runs differ in them and no axis says so
_MEASURED = {"metric.test_error": "test error [%]", "wall_seconds": "time [s]", "error": "error"}


def trials(table: Table, judged: Mapping[str, str], link: Link) -> list[str]:
    """Heading and table.

    Args:
        table: the runs.
        judged: columns of the metrics that count, with their titles.
        link: a trial's folder to its address on the page.
    """
    shown = table.rows.head(MOST_ROWS)
    columns: dict[str, Any] = {"study": shown["study"]} if len(table.studies) > 1 else {}
    numbers = [_numbered(t, link(str(f))) for t, f in zip(shown["trial"], shown["folder"])]
    columns["trial"] = pd.Series(numbers, index=shown.index, dtype=object)
    columns |= {"seed": shown["seed"], "state": shown["state"], "algorithm": shown["algorithm"]}
    columns |= {
        name: shown[f"choice.{name}"]
        for name in _CHOICES
        if f"choice.{name}" in shown and shown[f"choice.{name}"].nunique() > 1
    }
    columns |= _places(table.axes, shown)
    for name, title in ({**judged, **{k: v for k, v in _MEASURED.items() if k not in judged}}).items():
        if name in shown:
            columns[title] = shown[name]
    note = f" (the first {MOST_ROWS}; all are in results.csv)" if len(table.rows) > MOST_ROWS else ""
    return [
        f"<h2>Trials</h2><p>{len(table.rows)} runs{note}.</p>",
        html_table(
            pd.DataFrame(columns), tall=True, words_in=["error", "study", "algorithm", "flaw", "value"]
        ),
    ]


def _numbered(trial: object, address: str) -> Cell:
    """A trial's number; the page's script makes a link of it where the folders are."""
    return Cell(f'<a data-to="{escape(address)}">{trial}</a>' if address else str(trial), trial)


def _places(axes: Iterable[Axis], shown: pd.DataFrame) -> dict[str, Any]:
    """Where every run stands: a column for each axis, or two where each run sets one axis of many alone."""
    known = [a for a in axes if f"axis.{a.name}" in shown and shown[f"axis.{a.name}"].notna().any()]
    numeric = {a.name: a for a in known if a.numeric}
    # several values where a trial sets several axes; the switch that says which one is none of them
    moved = [[name for name in varied if name in numeric] for varied in shown["varied"]]
    if len(numeric) < 3 or max(map(len, moved), default=0) != 1:
        return {a.title: shown[f"axis.{a.name}"] for a in known}
    places = [
        (numeric[names[0]], row[f"axis.{names[0]}"]) if names else None
        for names, (_, row) in zip(moved, shown.iterrows())
    ]
    flaws = ["as configured" if p is None else p[0].short for p in places]
    values = ["" if p is None else Cell(escape(p[0].text(float(p[1]))), p[1]) for p in places]
    return {
        "flaw": pd.Series(flaws, index=shown.index, dtype=object),
        "value": pd.Series(values, index=shown.index, dtype=object),
    }
