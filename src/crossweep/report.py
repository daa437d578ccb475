"""`crossweep-report DIR...`: from finished trials to tables, figures and one HTML page.

A folder is a study of the crossweep sweeper, a multirun of Hydra's own, a single run, or a folder that holds
several of these. What a study has not got yet is left out; what cannot be read is named. Needs no torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from crossweep.errors import ConfigError, StudyError, reported
from crossweep.schema import LARGEST
from crossweep.sweep.settings import BUDGET

EPILOG = """\
examples:
  crossweep-report multirun/landscape_skew_variability
  crossweep-report multirun/landscape_skew_variability --budget 2
  crossweep-report multirun/cttv2_study multirun/agad_study --compare --output multirun/cttv2_or_agad
  crossweep-report multirun/grid --metric test_error --budget 10
  crossweep-report multirun/landscape_skew_variability --collect

written, for every study, into its folder (or --output):
  report.html          the answer in words, figures, sortable tables; one file, no network needed
  figures/             every figure as PNG (300 dpi) and PDF, one paper column wide
  tolerance.csv        what the device must achieve, per axis and algorithm
  tolerance_joint.csv  the same for two axes at once: a curve
  importance.csv       which axis costs most, by surface and by Optuna's evaluators
  comparison.csv       paired differences between algorithms
  points.csv           every point: mean over seeds, spread, 95 % interval
  results.parquet/csv  one row per run
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = _Parser(
        prog="crossweep-report",
        description="How bad may the device become? Tables, figures and one HTML page from finished trials.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "folders", nargs="+", metavar="DIR", type=Path, help="study folders, or folders of studies"
    )
    made.add_argument(
        "--budget",
        type=float,
        metavar="POINTS",
        help=f"acceptable error increase in percentage points (default: the study's own, else {BUDGET})",
    )
    made.add_argument(
        "--metric",
        metavar="NAME",
        help="what is judged, smaller is better (default: error_increase, else the study's objective)",
    )
    made.add_argument(
        "--compare", action="store_true", help="all folders in one report, side by side, instead of one each"
    )
    made.add_argument(
        "--collect",
        action="store_true",
        help="only rebuild results.parquet and results.csv from the trial folders",
    )
    made.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where to write (default: the study's folder; several: comparison/)",
    )
    made.add_argument(
        "--no-figures", action="store_true", help="no PNG and PDF files; the page has its figures"
    )
    made.add_argument("--seed", type=int, default=0, help="of the posterior draws, not negative (default: 0)")
    return made


class _Parser(argparse.ArgumentParser):
    """A mistake is one line and exit code 2, as everywhere; `--help` tells the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}\n")


def _check(options: argparse.Namespace) -> None:
    """The rules that argparse does not know.

    Raises:
        ConfigError: an option breaks one.
    """
    if options.budget is not None and not abs(options.budget) < LARGEST:
        raise ConfigError(f"--budget: must be a number of size < {LARGEST:g}, got {options.budget}")
    if options.seed < 0:
        raise ConfigError(f"--seed: must be a whole number >= 0, got {options.seed}")
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        raise ConfigError(f"--output: must be a folder, or new, got the file {options.output}")


@reported("crossweep-report")
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parser().parse_args(arguments)
    _check(options)
    (_collect if options.collect else _report)(options)


def _collect(options: argparse.Namespace) -> None:
    from crossweep.results.collecting import collect, study_folders, write_rows

    for folder in _existing(options.folders):
        for study in study_folders(folder):
            table = collect(study)
            target = options.output or study
            target.mkdir(parents=True, exist_ok=True)
            paths = write_rows(target, table.rows)
            states = ", ".join(f"{n} {state}" for state, n in table.rows["state"].value_counts().items())
            done = f"{len(table.rows)} runs ({states}), {len(table.skipped)} folders skipped"
            print(f"{study}: {done} -> {paths[0]}")
            for skipped in table.skipped[:10]:
                print(f"  skipped {skipped.folder}: {skipped.reason}")
            if len(table.skipped) > 10:
                print(f"  and {len(table.skipped) - 10} more")


def _report(options: argparse.Namespace) -> None:
    from crossweep.console import working
    from crossweep.results.collecting import study_folders
    from crossweep.results.reporting import build_report

    given = _existing(options.folders)
    if options.compare:
        jobs: list[list[Path]] = [given]
    else:
        jobs = [[study] for folder in given for study in study_folders(folder)]
    if len(jobs) > 1 and options.output:
        raise StudyError(
            f"`--output` needs one report, got {len(jobs)} studies; add --compare or leave it out"
        )
    failed = 0
    for studies in jobs:
        try:
            with working(f"reading {', '.join(map(str, studies))}, fitting and drawing"):
                report = build_report(
                    studies,
                    budget=options.budget,
                    metric=options.metric,
                    output=options.output,
                    figures=not options.no_figures,
                    seed=options.seed,
                )
        except StudyError as problem:
            if len(jobs) == 1:
                raise
            failed += 1
            print(f"crossweep-report: {problem}", file=sys.stderr)
            continue
        print(report.told)
    if failed == len(jobs):
        raise StudyError(f"none of the {failed} folders could be reported")


def _existing(folders: Sequence[Path]) -> list[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise StudyError(f"`DIR` must be an existing folder, got {folder}")
    return list(folders)


if __name__ == "__main__":
    main()
