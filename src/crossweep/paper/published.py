"""Tables that others have printed, beside what was measured here."""

from __future__ import annotations

from crossweep.paper.words import table
from crossweep.results.agreement import agreement, departures, published
from crossweep.results.table import Table


def published_table(told: Table) -> str:
    """A row per published cell that has run, and what was not done as printed."""
    study = told.studies[0]
    source = published(study)
    if source is None:
        return "Nothing published is kept beside this study."
    axis = next((a.title for a in told.axes if a.name == source.axis), source.axis)
    found = agreement(told)
    rows = [
        [
            f"`{cell['algorithm']}`",
            f"{cell[source.axis]:g}",
            f"{cell['published']:g}",
            f"{cell['here']:.1f}"
            + (f" ({cell['low']:.1f} to {cell['high']:.1f})" if cell["seeds"] > 1 else ""),
            f"{cell['difference']:+.1f}",
        ]
        for _, cell in found.iterrows()
    ]
    seeds = sorted({int(n) for n in found["seeds"]})
    other = departures(study)
    number = f"{' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}"
    hours = told.rows["wall_seconds"].sum() / 3600
    notes = [
        f"{source.source}; in {source.unit}. {number} here, {hours:.1f} hours.",
        *([f"Not as printed: {'; '.join(other)}."] if other else []),
    ]
    return table(["rule", axis, "published", "here", "difference"], rows) + "\n\n" + " ".join(notes)
