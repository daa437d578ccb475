"""The answer of a study as tables and figures. No torch here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from crossweep.errors import StudyError
from crossweep.results.collecting import collect, shown
from crossweep.results.table import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

    from crossweep.results.analysis import Analysis
    from crossweep.results.plots.style import Figure


@dataclass(frozen=True)
class Study:
    """A study, or several side by side. What needs fitted surfaces is computed at first use, in seconds.

    Args:
        collected: all runs.
        budget: acceptable value of the metric, percentage points of the error increase; None: the study's own.
        metric: what is judged, smaller is better; None: the error increase, else the study's objective.
    """

    collected: Table
    budget: float | None = None
    metric: str | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row per run: ``study, trial, seed, state, algorithm, folder``, ``axis.<name>`` in the axis's unit,
        ``metric.<name>`` (accuracies are shares in 0..1, errors per cent, increases percentage points), ``baseline.*``,
        ``choice.*``, ``cost.*``.
        """
        return shown(self.collected.rows)

    @cached_property
    def analysis(self) -> Analysis:
        """Everything that the report says (see ``crossweep.results.analysis``).

        Raises:
            StudyError: no run has the metric.
        """
        from crossweep.results.reporting import analysed

        return analysed(self.collected, budget=self.budget, metric=self.metric)

    @property
    def specification(self) -> pd.DataFrame:
        """What the device must achieve, one row per group of runs and axis: ``specification`` holds with 95 % probability,
        ``low`` and ``high`` are the ends of the 95 % interval [the axis's unit]; ``answer`` says it in words, or says why
        there is none.
        """
        from crossweep.results.sheets import tolerance_sheet

        return tolerance_sheet(self.analysis)

    @property
    def importance(self) -> pd.DataFrame:
        """Which axis costs most: shares of the variance in 0..1, alone and with interactions; empty without a surface."""
        from crossweep.results.sheets import importance_sheet

        return importance_sheet(self.analysis)

    @property
    def comparison(self) -> pd.DataFrame:
        """Paired differences between algorithms [metric], with 95 % intervals; empty of a single algorithm."""
        from crossweep.results.sheets import comparison_sheet

        return comparison_sheet(self.analysis)

    @cached_property
    def landscape(self) -> Landscape:
        """The maps of the report."""
        return Landscape(self.analysis)


@dataclass(frozen=True)
class Landscape:
    """The metric over two axes: what was measured, the fitted surface, and the budget's line with its 95 % band.

    Args:
        analysis: of a study.
    """

    analysis: Analysis

    def __len__(self) -> int:
        """How many maps there are: one per group of runs and pair of axes."""
        return len(self._figures)

    @property
    def titles(self) -> list[str]:
        """What each map shows."""
        return [figure.title for figure in self._figures]

    def plot(self, number: int = 0) -> Canvas:
        """One map as a matplotlib figure, of the width of a paper's column; a new one each time.

        Raises:
            StudyError: the runs make no such map.
        """
        figures = self._drawn()
        if not -len(figures) <= number < len(figures):
            reasons = [fit.reason for group in self.analysis.groups for fit in group.fits if fit.reason]
            why = "; ".join(dict.fromkeys(reasons)) or "a map needs two axes of numbers"
            raise StudyError(
                f"landscape: has {len(figures)} maps, got number {number}" + ("" if figures else f" ({why})")
            )
        canvas = figures[number].canvas
        canvas.set_facecolor("white")
        return canvas

    @cached_property
    def _figures(self) -> list[Figure]:
        return self._drawn()

    def _drawn(self) -> list[Figure]:
        from crossweep.results.plots.style import drawing
        from crossweep.results.reporting import maps

        with drawing():
            return maps(self.analysis)

    def _repr_png_(self) -> bytes | None:
        """The first map, in a notebook."""
        from crossweep.results.plots.style import drawing

        if not len(self):
            return None
        with drawing(), io.BytesIO() as file:
            self.plot().savefig(file, format="png", dpi=150)
            return file.getvalue()


def study(*folders: Path | str, budget: float | None = None, metric: str | None = None) -> Study:
    """The trials of a study as a table, and its answer: landscape and specification, as in its report.

    Args:
        folders: of a study, a grid or a single run; several are compared.
        budget: acceptable value of the metric [percentage points of the error increase]; None: the study's own, else 1.2.
        metric: what is judged, smaller is better; None: the error increase, else the study's objective.

    Raises:
        StudyError: a folder does not exist, or holds no finished trial.

    Example:
        >>> study = crossweep.study("multirun/landscape_skew_variability")
        >>> study.table.groupby("axis.sp_skew")["metric.error_increase"].mean()
        >>> study.landscape.plot().savefig("landscape.png")
    """
    if not folders:
        raise StudyError("study: needs the folder of a study, such as multirun/landscape_skew_variability")
    return Study(collect(folders), budget, metric)
