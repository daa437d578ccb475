"""One HTML file that needs nothing else: style and script are inside, figures are inline SVG."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from crossweep.axis import PLAIN_UNITS, number_text
from crossweep.configured import configured, device_name, errors_over_time, flattened, metric_after, time_text
from crossweep.results import sentences
from crossweep.results.agreement import agreement, departures, published
from crossweep.results.analysis import Analysis
from crossweep.results.endurance import COLUMNS, endurance_sheet
from crossweep.results.sheets import comparison_sheet, importance_sheet, tolerance_sheet
from crossweep.results.table import Study

MOST_ROWS = 600  # of the table of trials; all of them are in results.csv
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
    analysis: Analysis, sections: Sequence[tuple[str, Sequence[str]]], link: Callable[[str], str]
) -> str:
    """The whole document.

    Args:
        analysis: what is said.
        sections: heading and `<figure>` elements of each section.
        link: a trial's folder to its address on the page.
    """
    names = ", ".join(dict.fromkeys(s.name for s in analysis.table.studies))
    lines, cautions = sentences.summary(analysis), sentences.cautions(analysis)
    answer = [line for line in lines[1:] if line not in cautions]
    body = [
        f"<h1>{escape(names)}</h1>",
        f'<p class="sub">{escape(sentences.what_was_run(analysis))}</p>',
        f'<div class="answer"><ul>{_items(answer)}</ul></div>' if answer else "",
        f'<div class="answer caution">How far to trust it<ul>{_items(cautions)}</ul></div>'
        if cautions
        else "",
        *_specification(analysis),
        *_endurance(analysis),
        *(_section(title, figures) for title, figures in sections if figures),
        *_importance(analysis),
        *_over_time(analysis),
        *_comparison(analysis),
        *_published(analysis),
        *_trials(analysis, link),
        *_skipped(analysis),
        *_provenance(analysis),
    ]
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(names)}: crossweep report</title>\n<style>\n{style}</style>\n</head>\n"
        "<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + f'\n</main>\n<div id="tip"></div>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def figure_element(svg: str, caption: str, title: str) -> str:
    """A `<figure>` with heading and caption."""
    return f"<figure><h3>{escape(title)}</h3>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def html_table(frame: pd.DataFrame, *, tall: bool = False, words_in: Sequence[str] = ()) -> str:
    """A table that sorts.

    Args:
        frame: cells; a `Cell` brings its own markup.
        tall: scrolls inside a limited height.
        words_in: columns whose text may wrap.
    """
    numeric = {str(c): pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns}
    heads = "".join(
        f'<th scope="col"{_class("number", numeric[str(c)])}><button>{escape(str(c))}</button></th>'
        for c in frame
    )
    rows = []
    for values in frame.itertuples(index=False, name=None):
        cells = (_cell(v, numeric[str(c)], c in words_in) for c, v in zip(frame.columns, values))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="table{" tall" * tall}"><table class="sorts"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


class Cell(str):
    """Text that is markup already, with the value it sorts by."""

    __slots__ = ("by",)
    by: object

    def __new__(cls, markup: str, by: object) -> Cell:
        made = super().__new__(cls, markup)
        made.by = by
        return made


def _cell(value: Any, numeric: bool, wraps: bool) -> str:
    kind = _class("number", numeric) or _class("words", wraps)
    if isinstance(value, Cell):
        return f'<td{kind} data-v="{escape(str(value.by))}">{value}</td>'
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return f"<td{kind}></td>"
    if isinstance(value, float | np.floating):
        return f'<td{kind} data-v="{value:.8g}">{number_text(float(value), 4)}</td>'
    return f"<td{kind}>{escape(str(value))}</td>"


def _class(name: str, holds: bool) -> str:
    return f' class="{name}"' if holds else ""


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def _section(title: str, figures: Sequence[str]) -> str:
    return f'<h2>{escape(title)}</h2>\n<div class="figures">\n' + "\n".join(figures) + "\n</div>"


def _specification(analysis: Analysis) -> list[str]:
    sheet = tolerance_sheet(analysis)
    if sheet.empty or sheet["requirement"].isna().all():
        return []
    shown = pd.DataFrame(
        {
            "group": sheet["group"],
            "axis": _titles(sheet),
            "requirement (95 % sure)": sheet["requirement"].fillna(""),
            "tolerance with 95 % interval": sheet["answer"],
            "examined": [f"{number_text(a, 4)} to {number_text(b, 4)}" for a, b in _ranges(sheet)],
            "others at": sheet["others"].fillna(""),
            "points": sheet["points"],
        }
    )
    if shown["group"].nunique() == 1:
        shown = shown.drop(columns="group")
    return [
        f"<h2>Specification for a loss of at most {analysis.limit}</h2>",
        html_table(shown, words_in=["requirement (95 % sure)", "tolerance with 95 % interval", "others at"]),
        '<p class="sub">Each axis alone, from its harmless end; also as <code>tolerance.csv</code>.</p>',
    ]


def _endurance(analysis: Analysis) -> list[str]:
    """Pulses per device of every group."""
    sheet = endurance_sheet(analysis)
    if sheet.empty:
        return []
    return [
        "<h2>Pulses that devices endure</h2>",
        html_table(sheet.rename(columns=COLUMNS)),
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
        html_table(shown),
        '<p class="sub">Alone and total: Sobol indices of the surface. fANOVA, PED-ANOVA: Optuna on '
        "the points; PED-ANOVA asks what the best tenth have in common.</p>",
    ]


def _comparison(analysis: Analysis) -> list[str]:
    sheet = comparison_sheet(analysis)
    if sheet.empty:
        return []
    shown = sheet.rename(
        columns={"share_first_better": "share first better", "hedges_g": "Hedges' g", "p_holm": "p (Holm)"}
    )
    return [
        "<h2>Paired comparison</h2>",
        html_table(shown),
        '<p class="sub">First minus second on the same conditions and seeds (same devices, same batches); '
        "interval and effect size over the units named. Empty: fewer than three units.</p>",
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
        *(f'<p class="sub">{escape(note)} Interval: 95 %, over seeds.</p>' for note in notes),
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


def _trials(analysis: Analysis, link: Callable[[str], str]) -> list[str]:
    rows = analysis.table.rows
    shown = rows.head(MOST_ROWS)
    several = len(analysis.table.studies) > 1
    columns: dict[str, Any] = {"study": shown["study"]} if several else {}
    numbers = [Cell(f'<a href="{escape(link(str(f)))}">{t}</a>', t) for t, f in _ids(shown)]
    columns["trial"] = pd.Series(numbers, index=shown.index, dtype=object)
    columns |= {"seed": shown["seed"], "state": shown["state"], "algorithm": shown["algorithm"]}
    for axis in analysis.table.axes:
        if f"axis.{axis.name}" in shown and shown[f"axis.{axis.name}"].notna().any():
            columns[axis.title] = shown[f"axis.{axis.name}"]
    columns[analysis.metric_title] = shown[analysis.column]
    for name, title in (
        ("metric.test_error", "test error [%]"),
        ("wall_seconds", "time [s]"),
        ("error", "error"),
    ):
        if name in shown and name != analysis.column and shown[name].notna().any():
            columns[title] = shown[name]
    note = f" (the first {MOST_ROWS}; all are in results.csv)" if len(rows) > MOST_ROWS else ""
    return [
        f"<h2>Trials</h2><p>{len(rows)} runs{note}. The number leads to the trial's folder.</p>",
        html_table(pd.DataFrame(columns), tall=True, words_in=["error"]),
    ]


def _ids(rows: pd.DataFrame) -> Iterable[tuple[object, object]]:
    return zip(rows["trial"], rows["folder"])


def _skipped(analysis: Analysis) -> list[str]:
    skipped = analysis.table.skipped
    if not skipped:
        return []
    shown = pd.DataFrame([{"folder": s.folder, "reason": s.reason} for s in skipped[:MOST_SKIPPED]])
    more = f" (the first {MOST_SKIPPED})" if len(skipped) > MOST_SKIPPED else ""
    return [
        f"<details><summary>{len(skipped)} folders not used{more}</summary>"
        + html_table(shown, words_in=["reason"])
        + "</details>"
    ]


def _provenance(analysis: Analysis) -> list[str]:
    rows = analysis.table.rows
    facts = {
        "budget": f"{analysis.budget:g} ({analysis.metric_title})",
        "device": "; ".join(dict.fromkeys(filter(None, map(_device, analysis.table.studies)))),
        "crossweep": _distinct(rows, "version"),
        "commits": _distinct(rows, "commit"),
        "hardware": _distinct(rows, "hardware"),
        "computing time": f"{pd.to_numeric(rows['wall_seconds']).sum() / 3600:.2f} h"
        if "wall_seconds" in rows
        else "",
        "started": f"{rows['started'].dropna().min()} to {rows['started'].dropna().max()}"
        if "started" in rows and rows["started"].notna().any()
        else "",
    }
    table = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in facts.items() if v)
    parts = [f'<h2>Settings and provenance</h2><div class="table"><table>{table}</table></div>']
    return parts + [_settings(study) for study in analysis.table.studies]


def _device(study: Study) -> str:
    """The device of a study; of a measured one also what its weights are."""
    record = study.first_record
    if not record:
        return ""
    flat = flattened(record.get("config") or {})
    zero, per_w = (configured(flat, [f"device.siemens_{what}"]) for what in ("zero", "per_w"))
    real = (
        ""
        if zero is None or per_w is None
        else f" (w = 0 is {1e6 * zero:.4g} uS, 1 w is {1e6 * per_w:.4g} uS)"
    )
    return device_name(record) + real


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
