"""The generated parts of RESULTS.md, ALGORITHMS.md and NOTES.md. Prose is written by hand around them; no number is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from crossweep.errors import StudyError
from crossweep.paper.control import control_table
from crossweep.paper.flaws import COST, analysed, curves, maps_of, sheet
from crossweep.paper.fresh import fresh_table
from crossweep.paper.optimisers import optimisers_table
from crossweep.paper.presets import presets_scatter, presets_table
from crossweep.paper.published import published_table
from crossweep.paper.references import referred
from crossweep.paper.retention import retention_table
from crossweep.paper.rules import epochs_figure, limits_table, rules_figure, rules_table, rules_verdict
from crossweep.paper.saved import load
from crossweep.paper.words import setting, table
from crossweep.results.analysis import METRIC, Analysis
from crossweep.results.plots.style import Figure, drawing
from crossweep.results.table import Table

TUNES = ("paper_tune", "paper_tune_more", "paper_tune_rates")  # a search may go on under another name
REFERENCES = (
    "paper_reference_cifar",
    "paper_reference_cifar_second",
)  # of the small Swin, with rates from a search
RULES = ("paper_rules", "paper_rules_resnet", "paper_micro", "paper_full")  # likewise
# studies of flaws, and what is judged there: a hybrid's digital part leaves no rule without a flaw to compare with
FLAWS = {"hybrid": METRIC, "offsets": COST, "tolerance": COST, "skew_variability": COST}
PAPER = (*RULES, *REFERENCES, *TUNES, "paper_limits", *(f"paper_{name}" for name in FLAWS), "paper_retention")
PRESETS, TWENTY_STATES = "presets", "twenty_states"
OPTIMISERS = "optimisers"
PUBLISHED = ("reference_offsets", "states")  # whose tables others have printed
STUDIES = (*PAPER, PRESETS, TWENTY_STATES, OPTIMISERS, *PUBLISHED)
CONTROL = "control.csv"  # of `tests/benchmarks/plain_control.py`
_PART = re.compile(r"(<!-- (?P<name>[a-z_]+) -->\n)(?P<old>.*?)(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Saved:
    """What was saved.

    Args:
        folder: where.
        tables: study by study.
    """

    folder: Path
    tables: Mapping[str, Table]

    def of(self, *names: str) -> list[Table]:
        """Those of these studies that there are."""
        return [self.tables[name] for name in names if name in self.tables]

    @property
    def rules(self) -> list[Table]:
        """The runs of the rules, judged by the best digital runs that there are."""
        return [referred(told, self.of(*REFERENCES)) for told in self.of(*RULES)]

    @cached_property
    def drawn(self) -> dict[str, list[Figure]]:
        """Figures of the studies of flaws: landscapes; curves where flaws come alone; call within `style.drawing()`."""
        return {
            name: maps_of(analysis, f"results_{name}")
            or curves(self.tables[f"paper_{name}"], f"results_{name}")
            for name, analysis in self.flaws.items()
        }

    @cached_property
    def flaws(self) -> dict[str, Analysis]:
        """The surfaces of the studies of flaws, for tables and figures alike: they take seconds each."""
        return {
            name: analysed(told, metric)
            for name, metric in FLAWS.items()
            for told in self.of(f"paper_{name}")
        }


def saved(folder: Path) -> Saved:
    """What was saved in a folder."""
    found = {name: load(folder / name) for name in STUDIES}
    return Saved(folder, {name: told for name, told in found.items() if told is not None})


def parts(found: Saved) -> dict[str, str]:
    """Every generated part by the name that its marker has."""
    rules, searches, limits = found.rules, found.of(*TUNES), found.of("paper_limits")
    made = {"runs": runs_table({name: found.tables[name] for name in PAPER if name in found.tables})}
    for name, write in {
        "rules_table": rules_table,
        "rules_verdict": rules_verdict,
        "fresh_table": fresh_table,
    }.items():
        made[name] = write(rules) if rules else _missing("paper/rules")
    plain, controlled = found.folder / CONTROL, found.of("paper_rules")
    both = bool(controlled) and plain.is_file()
    made["control_table"] = control_table(controlled[0], plain) if both else _missing("paper/rules")
    made["tune_table"] = tune_table(searches) if searches else _missing("paper/tune")
    made["limits_table"] = limits_table(limits[0]) if limits else _missing("paper/limits")
    rested, presets = found.of("paper_retention"), found.of(PRESETS)
    made["retention_table"] = retention_table(rested[0]) if rested else _missing("paper/retention")
    for name, write_presets in {"presets_table": presets_table, "presets_scatter": presets_scatter}.items():
        made[name] = write_presets(presets[0]) if presets else _missing(PRESETS)
    few = found.of(TWENTY_STATES)
    made["twenty_states_table"] = presets_table(few[0]) if few else _missing(PRESETS)
    tuned = found.of(OPTIMISERS)
    made["optimisers_table"] = optimisers_table(tuned[0]) if tuned else _missing(OPTIMISERS)
    for name in PUBLISHED:
        ran = found.of(name)
        made[f"{name}_table"] = published_table(ran[0]) if ran else _missing(name)
    for name in FLAWS:
        made[f"{name}_sheet"] = (
            "\n\n".join(_flaw(found, name)) if name in found.flaws else _missing(f"paper/{name}")
        )
    return made


def _flaw(found: Saved, name: str) -> list[str]:
    """Specification and pictures of a study of flaws."""
    with drawing():
        pictures = found.drawn[name]
    return [
        sheet(found.flaws[name]),
        *(f"![{f.title}](.github/{f.name}.png)\n\n*{f.caption}*" for f in pictures),
    ]


def _missing(study: str) -> str:
    return f"*Not run yet: `crossweep-train -m study={study}`.*"


def figures(found: Saved) -> list[Figure]:
    """What can be drawn; call within `style.drawing()`."""
    rules = found.rules
    drawn = [rules_figure(rules), epochs_figure(rules)] if rules else []
    return [*drawn, *(figure for pictures in found.drawn.values() for figure in pictures)]


def filled(text: str, found: Saved) -> str:
    """The page with every part made anew.

    Raises:
        StudyError: a marker names no part.
    """
    known = parts(found)

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in known:
            raise StudyError(f"no part is called {name}; there are {', '.join(known)}")
        return f"{match[1]}{known[name]}\n{match[4]}"

    return _PART.sub(part, text)


def runs_table(tables: Mapping[str, Table]) -> str:
    """Which runs the page rests on: study, runs, seeds, hours, machine, versions, commits."""
    rows = []
    for name, told in tables.items():
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
            [f"`{rule}`", setting(row), f"{100 * row['metric.validation_accuracy']:.1f}"]
            for _, row in found.iterrows()
        ]
    return table(["rule", "setting", "validation accuracy [%]"], best)
