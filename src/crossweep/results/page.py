"""The page of a study: the answer first, then figures, comparison, trials, settings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from crossweep.axis import PLAIN_UNITS, number_text
from crossweep.configured import errors_over_time, metric_after, time_text
from crossweep.results import sentences
from crossweep.results.agreement import agreement, departures, published
from crossweep.results.analysis import Analysis
from crossweep.results.endurance import COLUMNS, endurance_sheet
from crossweep.results.facts import facts_element, glossary
from crossweep.results.html import Link, document, html_table, listed, section
from crossweep.results.sheets import comparison_sheet, importance_sheet, tolerance_sheet
from crossweep.results.table import Study, Table
from crossweep.results.trials import trials

MOST_SKIPPED = 100
MOST_SETTINGS = 30_000  # characters of one study's configuration


def link_from(output: Path) -> Callable[[str], str]:
    """A function that links trial folders relative to the page's folder; other drives get no link."""

    def link(folder: str) -> str:
        try:
            relative = os.path.relpath(folder, output)
        except ValueError:
            return ""
        return quote(Path(relative).as_posix()) + "/"

    return link


def page(
    analysis: Analysis, sections: Sequence[tuple[str, Sequence[str]]], link: Link, *, at_home: str = ""
) -> str:
    """The whole document.

    Args:
        analysis: what is said.
        sections: heading and `<figure>` elements of each section.
        link: a trial's folder to its address on the page.
        at_home: see `document`.
    """
    table = analysis.table
    lines, cautions = sentences.summary(analysis), sentences.cautions(analysis)
    answer = [line for line in lines[1:] if line not in cautions]
    body = [
        *head(table),
        f'<div class="answer"><ul>{listed(answer)}</ul></div>' if answer else "",
        *_specification(analysis),
        *_groups(analysis),
        f'<div class="answer caution">How far to trust it<ul>{listed(cautions)}</ul></div>'
        if cautions
        else "",
        *_endurance(analysis),
        *(section(title, figures, folded=title == FOLDED) for title, figures in sections if figures),
        *_importance(analysis),
        *_over_time(analysis),
        *_comparison(analysis),
        *_published(analysis),
        *trials(table, {analysis.column: analysis.metric_title}, link),
        *closing(table, {"budget": f"{analysis.limit} ({analysis.what})"}),
    ]
    return document(names(table), explained(body), at_home=at_home)


FOLDED = "How well the surfaces fit"


def names(table: Table) -> str:
    """What the studies are called."""
    return ", ".join(dict.fromkeys(s.name for s in table.studies))


def head(table: Table) -> list[str]:
    """Title, trials and facts."""
    told = sentences.what_was_run(table).partition(": ")[2]
    return [f"<h1>{escape(names(table))}</h1>", f'<p class="sub">{escape(told)}</p>', facts_element(table)]


def explained(body: Sequence[str]) -> list[str]:
    """The parts of a page with the words that they use, after the facts."""
    return [*body[:3], glossary(" ".join(body)), *body[3:]]


def closing(table: Table, own: dict[str, str]) -> list[str]:
    """Folders that were not used, settings and provenance."""
    return [*_skipped(table), *_provenance(table, own)]


def _specification(analysis: Analysis) -> list[str]:
    sheet = tolerance_sheet(analysis)
    if sheet.empty or sheet["requirement"].isna().all():
        return []
    shown = pd.DataFrame(
        {
            "group": sheet["group"],
            "axis": _titles(sheet),
            "specify (95 % sure)": sheet["requirement"].fillna(""),
            "tolerated": sheet["answer"],
            "examined": [f"{number_text(a, 4)} to {number_text(b, 4)}" for a, b in _ranges(sheet)],
            "others at": sheet["others"].fillna(""),
            "trials": sheet["points"],
        }
    )
    if shown["group"].nunique() == 1:
        shown = shown.drop(columns="group")
    return [
        f"<h2>Specification for an {analysis.what} of at most {analysis.limit}</h2>",
        html_table(
            shown, words_in=["group", "axis", "specify (95 % sure)", "tolerated", "others at"], stacks=True
        ),
        '<p class="sub">Each axis alone, from its harmless end; also as <code>tolerance.csv</code>.</p>',
    ]


def _endurance(analysis: Analysis) -> list[str]:
    """Pulses per device of every group."""
    sheet = endurance_sheet(analysis)
    if sheet.empty:
        return []
    return [
        "<h2>Pulses that devices endure</h2>",
        html_table(sheet.rename(columns=COLUMNS), words_in=["group"], stacks=True),
        '<p class="sub">Counted, calibration and refresh included, on the array of which each is largest; means over the '
        "runs, but of the endurance needed (<code>evaluation.trainings</code> trainings on the same devices) the largest. "
        "Also as <code>endurance.csv</code>; time and energy estimates are in each run's record.</p>",
    ]


def _ranges(sheet: pd.DataFrame) -> Iterable[tuple[float, float]]:
    return zip(sheet["range_low"].astype(float), sheet["range_high"].astype(float))


def _titles(sheet: pd.DataFrame) -> list[str]:
    """Label with unit of every row."""
    return [
        label if u in PLAIN_UNITS else f"{label} [{u}]" for label, u in zip(sheet["label"], sheet["unit"])
    ]


def _groups(analysis: Analysis) -> list[str]:
    """What every group loses as configured and over all its runs, beside what it tolerates."""
    if len(analysis.groups) < 2:
        return []
    rows = [
        {
            "group": group.name,
            "as configured": group.configured.text(analysis.unit) if group.configured else "",
            "mean over its runs": group.loss.text(analysis.unit),
            **{
                t.axis.title: f"{t.text}; {t.specify}" if t.determined else "not determined"
                for t in group.tolerances
            },
        }
        for group in analysis.groups
    ]
    return [
        f"<h2>{escape(analysis.what[0].upper() + analysis.what[1:])} of each group, and what it tolerates</h2>",
        html_table(pd.DataFrame(rows), words_in=sorted({c for row in rows for c in row}), stacks=True),
    ]


def _importance(analysis: Analysis) -> list[str]:
    sheet = importance_sheet(analysis)
    if sheet.empty:
        return []
    left_out = ("label", "unit")
    shown = sheet[[c for c in sheet if c not in left_out and not str(c).endswith(("_low", "_high"))]]
    shown = shown.assign(axis=_titles(sheet))
    if shown["group"].nunique() == 1:
        shown = shown.drop(columns="group")
    return [
        "<h2>Importance in numbers</h2>",
        html_table(shown, words_in=["group", "axis"], stacks=True),
        '<p class="sub">Alone and total: Sobol indices of the surface. fANOVA, PED-ANOVA: Optuna on '
        "the points; PED-ANOVA asks what the best tenth have in common.</p>",
    ]


def _comparison(analysis: Analysis) -> list[str]:
    sheet = comparison_sheet(analysis)
    if sheet.empty:
        return []
    shown = sheet.rename(
        columns={
            "difference": f"difference [{analysis.unit.strip() or 1}]",
            "share_first_better": "share first better",
            "hedges_g": "Hedges' g",
            "p_holm": "p (Holm)",
        }
    )
    return [
        "<h2>Paired comparison</h2>",
        html_table(shown, words_in=["first", "second"]),
        '<p class="sub">First minus second on the same conditions and seeds (same devices, same batches); '
        "low and high: likely range over the units named.</p>",
    ]


def _published(analysis: Analysis) -> list[str]:
    """Cell by cell against what others have printed."""
    sheet = agreement(analysis.table)
    if sheet.empty:
        return []
    names = {a.name: a.title for a in analysis.table.axes}
    notes = []
    for study in analysis.table.studies:
        if (told := published(study)) is None:
            continue
        other = departures(study)
        kept = f" Not as printed there: {'; '.join(other)}." if other else ""
        notes.append(f"{study.name}, in {told.unit}: {told.source}.{kept}")
    return [
        "<h2>Against published numbers</h2>",
        html_table(sheet.rename(columns=names), words_in=["verdict"]),
        *(f'<p class="sub">{escape(note)} Interval: likely range over seeds.</p>' for note in notes),
    ]


def _over_time(analysis: Analysis) -> list[str]:
    """Accuracy after the devices have lain unpulsed, by group; mean and range over its runs."""
    rows = []
    for group in analysis.groups:
        columns = {
            c.removeprefix("metric."): c for c in map(str, group.rows.columns) if c.startswith("metric.")
        }
        errors = {name: pd.to_numeric(group.rows[c], errors="coerce") for name, c in columns.items()}
        kept = {name: 100 - e.dropna() for name, e in errors.items() if e.notna().any()}
        times = errors_over_time({name: float(a.mean()) for name, a in kept.items()})
        named = [("0 s", "test_error")] * bool(times) + [(time_text(t), metric_after(t)) for t, _ in times]
        rows += [
            {
                "group": group.name,
                "after": text,
                "test accuracy [%]": float(kept[name].mean()),
                "lowest": float(kept[name].min()),
                "highest": float(kept[name].max()),
                "runs": len(kept[name]),
            }
            for text, name in named
            if name in kept
        ]
    if not rows:
        return []
    note = '<p class="sub">The trained network after its devices have lain unpulsed (<code>evaluation.times</code>).</p>'
    return ["<h2>Accuracy over time</h2>", html_table(pd.DataFrame(rows)), note]


def _skipped(table: Table) -> list[str]:
    skipped = table.skipped
    if not skipped:
        return []
    shown = pd.DataFrame([{"folder": s.folder, "reason": s.reason} for s in skipped[:MOST_SKIPPED]])
    more = f" (the first {MOST_SKIPPED})" if len(skipped) > MOST_SKIPPED else ""
    return [
        f"<details><summary>{len(skipped)} folders not used{more}</summary>"
        + html_table(shown, words_in=["reason"])
        + "</details>"
    ]


def _provenance(table: Table, own: dict[str, str]) -> list[str]:
    rows = table.rows
    facts = {
        **own,
        "crossweep": _distinct(rows, "version"),
        "commits": _distinct(rows, "commit"),
        "hardware": _distinct(rows, "hardware"),
        "computing time": f"{pd.to_numeric(rows['wall_seconds']).sum() / 3600:.2f} h"
        if "wall_seconds" in rows
        else "",
        "started": _from_to(rows["started"].dropna()) if "started" in rows else "",
    }
    lines = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in facts.items() if v)
    parts = [f'<h2>Settings and provenance</h2><div class="table"><table>{lines}</table></div>']
    return parts + [_settings(study) for study in table.studies]


def _from_to(times: pd.Series) -> str:
    if times.empty:
        return ""
    first, last = (str(t)[:16].replace("T", " ") for t in (times.min(), times.max()))
    return first if first == last else f"{first} to {last}"


def _settings(study: Study) -> str:
    def block(title: str, content: object) -> str:
        text = json.dumps(content, indent=1, default=str, ensure_ascii=False)
        cut = text[:MOST_SETTINGS] + ("\n..." if len(text) > MOST_SETTINGS else "")
        return f"<details><summary>{escape(title)}</summary><pre>{escape(cut)}</pre></details>"

    parts = []
    if study.described:
        parts.append(block(f"{study.name}: the study (study.json)", study.described))
    if study.first_record:
        kept = {k: study.first_record.get(k) for k in ("choices", "versions", "hardware", "config")}
        parts.append(block(f"{study.name}: settings of its first run", kept))
    return "".join(parts)


def _distinct(rows: pd.DataFrame, column: str) -> str:
    if column not in rows:
        return ""
    found = [str(v)[:12] for v in rows[column].dropna().unique()]
    return ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
