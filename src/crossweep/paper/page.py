"""The generated parts of RESULTS.md. Prose is written by hand around them; no number is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossweep.errors import StudyError
from crossweep.paper.control import control_table
from crossweep.paper.flaws import COST, analysed, bars, maps_of, sheet
from crossweep.paper.fresh import fresh_table
from crossweep.paper.rules import epochs_figure, limits_table, rules_figure, rules_table, rules_verdict
from crossweep.paper.saved import load
from crossweep.paper.words import table
from crossweep.results.analysis import METRIC
from crossweep.results.plots.style import Figure
from crossweep.results.table import Table

TUNES = ("paper_tune", "paper_tune_more")  # a search may go on under another name
RULES = ("paper_rules", "paper_micro", "paper_full")
# studies of flaws, and what is judged there: a hybrid's digital part leaves no rule without a flaw to compare with
FLAWS = {"hybrid": METRIC, "offsets": COST, "tolerance": COST, "skew_variability": COST}
STUDIES = (*RULES, *TUNES, "paper_limits", *(f"paper_{name}" for name in FLAWS))
CONTROL = "control.csv"  # of `tests/benchmarks/plain_control.py`
_PART = re.compile(r"(<!-- (?P<name>[a-z_]+) -->\n)(?P<old>.*?)(<!-- end -->)", re.DOTALL)
Saved = Mapping[str, Table]


def saved(folder: Path) -> Saved:
    """What was saved, study by study."""
    found = {name: load(folder / name) for name in STUDIES}
    return {name: told for name, told in found.items() if told is not None}


def parts(found: Saved, kept: Path) -> dict[str, str]:
    """Every generated part by the name that its marker has; ``kept`` is the folder of the saved studies."""
    rules = [found[name] for name in RULES if name in found]
    made = {"runs": runs_table(found)}
    for name, write in {
        "rules_table": rules_table,
        "rules_verdict": rules_verdict,
        "fresh_table": fresh_table,
    }.items():
        made[name] = write(rules) if rules else _missing("rules")
    plain = kept / CONTROL
    both = "paper_rules" in found and plain.is_file()
    made["control_table"] = control_table(found["paper_rules"], plain) if both else _missing("rules")
    searches = [found[name] for name in TUNES if name in found]
    made["tune_table"] = tune_table(searches) if searches else _missing("tune")
    made["limits_table"] = (
        limits_table(found["paper_limits"]) if "paper_limits" in found else _missing("limits")
    )
    for name, metric in FLAWS.items():
        told = found.get(f"paper_{name}")
        made[f"{name}_sheet"] = _missing(name) if told is None else sheet(analysed(told, metric))
    return made


def _missing(study: str) -> str:
    return f"*Not run yet: `crossweep-train -m study=paper/{study}`.*"


def figures(found: Saved) -> list[Figure]:
    """What can be drawn; call within `style.drawing()`."""
    rules = [found[name] for name in RULES if name in found]
    drawn = [rules_figure(rules), epochs_figure(rules)] if rules else []
    for name, metric in FLAWS.items():
        if told := found.get(f"paper_{name}"):
            analysis = analysed(told, metric)
            drawn += maps_of(analysis, f"results_{name}") or bars(analysis, f"results_{name}")
    return drawn


def filled(text: str, found: Saved, kept: Path) -> str:
    """The page with every part made anew.

    Raises:
        StudyError: a marker names no part.
    """
    known = parts(found, kept)

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in known:
            raise StudyError(f"RESULTS.md: no part is called {name}; there are {', '.join(known)}")
        return f"{match[1]}{known[name]}\n{match[4]}"

    return _PART.sub(part, text)


def runs_table(found: Saved) -> str:
    """Which runs the page rests on: study, command, runs, seeds, hours, machine, versions, commits."""
    rows = []
    for name, told in found.items():
        done = told.rows[told.rows["state"].isin(["complete", "diverged"])]
        seeds = sorted({int(seed) for seed in done["seed"].dropna()})
        hours = done["wall_seconds"].sum() / 3600
        record = told.studies[0].first_record
        machine = record.get("hardware", {})
        versions = record.get("versions", {})
        rows.append(
            [
                f"`{name.replace('paper_', 'paper/')}`",
                str(len(done)),
                ", ".join(map(str, seeds)),
                f"{hours:.1f}",
                f"{machine.get('cpu')}, {machine.get('threads')} thread",
                f"torch {versions.get('torch')}",
                ", ".join(sorted({str(c)[:7] for c in done["commit"].dropna()})),
            ]
        )
    return table(["study", "runs", "seeds", "hours", "machine", "version", "commit"], rows)


def tune_table(searches: list[Table]) -> str:
    """The search: what was tried, and its validation accuracy."""
    rows = pd.concat([one.rows for one in searches]).dropna(subset="metric.validation_accuracy")
    rows = rows.sort_values("metric.validation_accuracy", ascending=False)
    best: list[list[str]] = []
    for rule, found in rows.groupby("algorithm", sort=True):
        best += [
            [f"`{rule}`", _setting(row), f"{100 * row['metric.validation_accuracy']:.1f}"]
            for _, row in found.iterrows()
        ]
    return table(["rule", "setting", "validation accuracy [%]"], best)


def _setting(row: pd.Series) -> str:
    values = {
        c.removeprefix("axis."): row[c] for c in row.index if c.startswith("axis.") and c != "axis.algorithm"
    }
    varied = set(row["varied"])
    return ", ".join(
        f"{k.replace('_', ' ')} {v:g}" if isinstance(v, float) else f"{k} {v}"
        for k, v in values.items()
        if k in varied
    )
