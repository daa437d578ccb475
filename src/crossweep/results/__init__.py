"""From trials to an answer: tables, statistics, surfaces, tolerances, figures and one HTML report. No torch
here.

Map: ``collect`` (folders to one tidy table) -> ``stats`` (intervals, paired comparison) -> ``surface``
(Gaussian-process fit and its quality) -> ``contour`` and ``tolerance`` (where the loss crosses the budget,
with intervals) -> ``importance`` -> ``analysis`` (all of it for one study) -> ``plots`` (one figure per file)
-> ``page``.

Public: ``collect(dirs)``, ``write_table(study_dir)``, ``TableWriter(study_dir)``, ``analyse(table, ...)``,
``build_report(dirs, ...)``, ``terminal_summary(...)``.
"""
