"""From trials to an answer: tables, statistics, surfaces, tolerances, figures and one HTML report. No torch
here.

Map: ``collect`` (folders to one tidy table) -> ``points``, ``stats`` (seeds, intervals, paired comparison)
-> ``surface`` (Gaussian-process fit and its quality) -> ``contour``, ``tolerance``, ``importance`` (the
answers) -> ``analysis`` (all of it for one table) -> ``plots`` (figures by what they tell), ``sentences``, ``sheets``,
``page`` -> ``reporting``; a search for parameters is answered by ``tuning``.

Public: ``collect(dirs)``, ``write_table(study_dir)``, ``TableWriter(study_dir)``, ``analyse(table, ...)``,
``build_report(dirs, ...)``, ``terminal_summary(dirs, ...)``, ``finish(dirs)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossweep.results.analysis import analyse as analyse
    from crossweep.results.collecting import TableWriter as TableWriter
    from crossweep.results.collecting import collect as collect
    from crossweep.results.collecting import write_table as write_table
    from crossweep.results.reporting import build_report as build_report
    from crossweep.results.reporting import finish as finish
    from crossweep.results.reporting import terminal_summary as terminal_summary

_HOME = {
    "analyse": "analysis",
    "TableWriter": "collecting",
    "collect": "collecting",
    "write_table": "collecting",
    "build_report": "reporting",
    "finish": "reporting",
    "terminal_summary": "reporting",
}


def __getattr__(name: str) -> Any:
    # loaded at first use: the table writer of a running study needs no matplotlib
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
