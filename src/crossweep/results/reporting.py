"""From study folders to a report: page, figures, sheets; also made at the end of every study."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crossweep.records import write_bytes
from crossweep.results import sentences, sheets
from crossweep.results.agreement import agreement
from crossweep.results.analysis import METRIC, Analysis, analyse
from crossweep.results.collecting import collect, csv_bytes, write_rows
from crossweep.results.endurance import endurance_sheet
from crossweep.results.html import figure_element
from crossweep.results.page import FOLDED, link_from, page
from crossweep.results.plots.comparison import differences, losses
from crossweep.results.plots.curves import curves
from crossweep.results.plots.endurance import front
from crossweep.results.plots.fits import importances, left_out
from crossweep.results.plots.history import history
from crossweep.results.plots.landscape import landscape
from crossweep.results.plots.measured import bare, panels
from crossweep.results.plots.style import Figure, drawing
from crossweep.results.plots.svg import inline
from crossweep.results.plots.tolerances import joint_curves, tolerance_bars
from crossweep.results.table import Table
from crossweep.results.tuning import Tuning, is_tuning, tuned, tuning_page
from crossweep.schema import LARGEST
from crossweep.study_folder import FIGURES, REPORT
from crossweep.sweep.settings import BUDGET

DPI = 300


@dataclass(frozen=True, kw_only=True)
class Report:
    """A written report.

    Args:
        path: of the page.
        table: the runs.
        summary: the answer in ten lines.
        analysis: what a map says; None for a search.
    """

    path: Path
    table: Table
    summary: str
    analysis: Analysis | None = None

    @property
    def told(self) -> str:
        """What a terminal is told."""
        return "\n".join([self.summary, *sentences.skipped(self.table), f"report: {self.path}"])


def build_report(
    folders: Sequence[Path | str] | Path | str,
    *,
    budget: float | None = None,
    metric: str | None = None,
    output: Path | str | None = None,
    figures: bool = True,
    seed: int = 0,
) -> Report:
    """Collect, analyse, draw and write everything into one folder.

    Args:
        folders: study folders; several make one report that compares them.
        budget: acceptable loss; None: the study's own, else ``BUDGET``.
        metric: what is judged, smaller is better; None: the error increase, else the study's objective.
        output: folder of the report; None: the study's folder, or `comparison` beside the first of several.
        figures: also write PNG and PDF files.
        seed: of all draws.

    Raises:
        StudyError: nothing usable in the folders, or no run has the metric.
    """
    given = [Path(folders)] if isinstance(folders, Path | str) else [Path(f) for f in folders]
    table = collect(given)
    target = Path(output) if output is not None else _default_output(given)
    target.mkdir(parents=True, exist_ok=True)
    if metric is None and is_tuning(table) and (search := tuned(table, seed=seed)) is not None:
        return _tuning_report(search, target, figures=figures)
    analysis = analysed(table, budget=budget, metric=metric, seed=seed)
    write_rows(target, analysis.table.rows)
    for name, sheet in (
        ("tolerance.csv", sheets.tolerance_sheet(analysis)),
        ("tolerance_joint.csv", sheets.joint_sheet(analysis)),
        ("importance.csv", sheets.importance_sheet(analysis)),
        ("comparison.csv", sheets.comparison_sheet(analysis)),
        ("points.csv", sheets.point_sheet(analysis)),
        ("endurance.csv", endurance_sheet(analysis)),
        ("published.csv", agreement(analysis.table)),
    ):
        _write_sheet(target / name, sheet)
    with drawing():
        drawn = all_figures(analysis)
        link = link_from(target)
        sections = [(title, [_element(f, link) for f in part]) for title, part in drawn]
        everything = [f for _, part in drawn for f in part]
        content = page(analysis, sections, link, at_home=_at_home(everything) if figures else "")
        if figures:
            _write_figures(target / FIGURES, everything)
    path = write_bytes(target / REPORT, content.encode())
    return Report(path=path, table=table, summary=sentences.terminal(analysis), analysis=analysis)


def _tuning_report(search: Tuning, target: Path, *, figures: bool) -> Report:
    write_rows(target, search.table.rows)
    with drawing():
        drawn, link = history(search), link_from(target)
        elements = [_element(f, link) for f in drawn]
        content = tuning_page(search, elements, link, at_home=_at_home(drawn) if figures else "")
        if figures:
            _write_figures(target / FIGURES, drawn)
    lines = [sentences.what_was_run(search.table), *search.summary]
    path = write_bytes(target / REPORT, content.encode())
    return Report(path=path, table=search.table, summary=sentences.shortened(lines))


def _at_home(figures: Sequence[Figure]) -> str:
    """The image that tells the page where it lies."""
    return f"{FIGURES}/{figures[0].name}.png" if figures else ""


def finish(folders: Sequence[Path | str]) -> None:
    """What a study does when it ends, however it ends: build the report, say the answer and where it is."""
    print("writing the report ...", file=sys.stderr, flush=True)
    print(build_report(folders).told)


def terminal_summary(folders: Sequence[Path | str] | Path | str, *, budget: float | None = None) -> str:
    """The answer in ten lines, without writing anything."""
    table = collect(folders)
    return sentences.terminal(analysed(table, budget=budget))


def analysed(
    table: Table, *, budget: float | None = None, metric: str | None = None, seed: int = 0
) -> Analysis:
    """The analysis of collected runs; budget and metric are the study's own where they are None.

    Raises:
        StudyError: no run has the metric.
    """
    return analyse(table, budget=_budget(table, budget), metric=metric or default_metric(table), seed=seed)


def maps(analysis: Analysis) -> list[Figure]:
    """The landscapes of all groups, and the bare points where no surface holds; call within `style.drawing()`."""
    found: list[Figure] = []
    for group in analysis.groups:
        for fit in group.fits:
            for contour in fit.contours:
                found.append(landscape(analysis, group, fit, contour, len(found)))
            if fit.reason and (drawn := bare(analysis, group, fit, len(found))):
                found.append(drawn)
    return found


def all_figures(analysis: Analysis) -> list[tuple[str, list[Figure]]]:
    """Every figure that the data support, by section; call within `style.drawing()`."""
    shares: list[Figure] = []
    fits: list[Figure] = []
    for group in analysis.groups:
        for fit in group.fits:
            if fit.importance:
                shares.append(importances(group, fit.importance, len(shares)))
            if fit.surface:
                fits.append(
                    left_out(analysis, sentences.fit_name(analysis, group, fit), fit.surface, len(fits))
                )
    return [
        ("Side by side", _present([panels(analysis)])),
        (
            "Landscape and tolerance",
            [*maps(analysis), *_present([tolerance_bars(analysis)]), *joint_curves(analysis)],
        ),
        ("Endurance", _present([front(analysis)])),
        ("Comparison", _present([losses(analysis), differences(analysis)])),
        ("Along each axis", curves(analysis)),
        ("Importance", shares),
        (FOLDED, fits),
    ]


def _present(figures: Sequence[Figure | None]) -> list[Figure]:
    return [f for f in figures if f is not None]


def _element(figure: Figure, link: Callable[[str], str]) -> str:
    return figure_element(inline(figure, link), figure.caption, figure.title)


def _write_figures(folder: Path, figures: Sequence[Figure]) -> None:
    for figure in figures:
        for ending in ("png", "pdf"):
            buffer = io.BytesIO()
            # a paper is white: what is see-through on the page is not in a file
            meta = {"Creator": None, "Producer": None, "CreationDate": None} if ending == "pdf" else None
            figure.canvas.savefig(buffer, format=ending, dpi=DPI, facecolor="white", metadata=meta)
            write_bytes(folder / f"{figure.name}.{ending}", buffer.getvalue())


def _write_sheet(path: Path, sheet: pd.DataFrame) -> None:
    if sheet.empty:
        path.unlink(missing_ok=True)  # what an earlier report said must not outlive it
        return
    write_bytes(path, csv_bytes(sheet))


def default_metric(table: Table) -> str:
    """The error increase where runs have it, else the first objective to minimise, else the test error."""
    told = [s.described for s in table.studies]
    minimised = [
        name
        for d in told
        for name, way in zip(_texts(d.get("objectives")), _texts(d.get("directions")))
        if way.startswith("min")
    ]
    for metric in (METRIC, *minimised):
        if table.rows.get(f"metric.{metric}", pd.Series(dtype=float)).notna().any():
            return metric
    return "test_error"


def _texts(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else []


def _budget(table: Table, given: float | None) -> float:
    if given is not None:
        return given
    told = [s.described.get("budget") for s in table.studies]
    given_there = [b for b in told if isinstance(b, int | float) and not isinstance(b, bool)]
    numbers = [float(b) for b in given_there if abs(b) < LARGEST]
    return numbers[0] if numbers else BUDGET


def _default_output(given: Sequence[Path]) -> Path:
    if len(given) == 1:
        return given[0]
    return given[0].parent / "comparison"
