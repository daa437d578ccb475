"""Reads one study folder into rows, and later only what is new.

The folders are the source of truth. A study folder may come from the crossweep sweeper (`study.json`; a
`trial.json` in every trial folder; with several seeds the runs lie below it in `seed_<s>/`) or from Hydra's
own multirun (every sub-folder has a `record.json`; the axes are the overrides that vary). A single run's
folder is a study of one. What cannot be read is named and counted, never fatal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from crossweep.axis import Axis
from crossweep.configured import configured, flattened
from crossweep.records import RECORD_NAME
from crossweep.results import study_axes
from crossweep.results.parse import (
    ABSENT,
    Json,
    NotUsable,
    Row,
    identity,
    listed,
    lost_row,
    natural,
    overrides_of,
    read_object,
    run_row,
    setting,
    told_values,
)
from crossweep.results.table import Skipped, Study
from crossweep.study_folder import ERROR, OWN_FOLDERS, STUDY, TRIAL, is_seed

LEADING = ["study", "trial", "seed", "state", "algorithm"]
# for the analysis alone, not for files: the axes that the trial itself set, and its value of every differing key
HIDDEN = ("varied", "settings")
GROUPS = ("axis.", "choice.", "metric.", "baseline.", "cost.")


class StudyReader:
    """Reads one study folder, and later only what is new: a finished trial's folder never changes.

    Args:
        root: the study folder.
        catalogue: labels and units by configuration key; None: looked up.
    """

    def __init__(self, root: Path, catalogue: Mapping[str, Axis] | None = None) -> None:
        self.root = root
        self.skipped: dict[str, Skipped] = {}
        self.described: Json = {}
        self.first_record: Json = {}
        self.name = root.name
        self._catalogue = study_axes.catalogue() if catalogue is None else catalogue
        self._rows: dict[str, list[Row]] = {}
        self._overrides: dict[str, dict[str, object]] = {}
        self._axes: tuple[Axis, ...] = ()
        self._base: dict[str, object] | None = None
        self.read_description()

    @property
    def n_rows(self) -> int:
        return sum(map(len, self._rows.values()))

    def read_description(self) -> None:
        """Read `study.json`, where there is one."""
        path = self.root / STUDY
        try:
            content = read_object(path)
        except NotUsable as problem:
            self.skipped[STUDY] = Skipped(folder=str(path), reason=str(problem))
            return
        if content:
            self.described = content
            self.name = str(content.get("name") or self.name)
            self._axes = study_axes.from_study(content.get("axes"), content.get("config"))

    def update(self) -> int:
        """Read the folders that were not read before.

        Returns:
            How many rows are new.
        """
        before = self.n_rows
        for name, path in self._candidates():
            self.skipped.pop(name, None)
            try:
                self._rows[name] = list(self._read_trial(name, path))
            except (NotUsable, OSError) as problem:
                self.skipped[name] = Skipped(folder=str(path), reason=str(problem))
        return self.n_rows - before

    def study(self) -> Study:
        """What is known about the study."""
        return Study(
            name=self.name,
            folder=self.root,
            axes=self.axes(),
            described=self.described,
            first_record=self.first_record,
        )

    def axes(self) -> tuple[Axis, ...]:
        """As described, else inferred from the overrides; the algorithm has a column of its own."""
        if self.described:
            return tuple(axis for axis in self._axes if axis.name != "algorithm")
        self._complete_overrides()
        keys = dict.fromkeys(key for row in self._overrides.values() for key in row if key != "algorithm")
        values = {key: [row.get(key) for row in self._overrides.values()] for key in keys}
        inferred = (study_axes.inferred(key, values[key], self._catalogue) for key in keys)
        return tuple(
            replace(a, microsiemens=study_axes.microsiemens(a.unit, self._base or {}))
            for a in inferred
            if a is not None
        )

    def frame(self) -> pd.DataFrame:
        """All rows read so far, in the order of trial numbers."""
        inferred = () if self.described else self.axes()
        rows: list[Row] = []
        differing = dict.fromkeys(
            k for found in self._rows.values() for row in found for k in row.get("settings") or ()
        )
        usual = {k: (self._base or {}).get(k, ABSENT) for k in differing}
        unnumbered = any(row["trial"] < 0 for found in self._rows.values() for row in found)
        for position, name in enumerate(sorted(self._rows, key=natural)):
            for row in self._rows[name]:
                given = self._overrides.get(row["folder"], {})
                values: Row = {f"axis.{a.name}": given.get(a.name) for a in inferred}
                if inferred:
                    values["varied"] = tuple(a.name for a in inferred)
                if (settings := row.get("settings")) is not None:
                    values["settings"] = {**usual, **settings}
                # folders with names instead of numbers are counted through: each is a trial of its own
                number = position if unnumbered else row["trial"]
                rows.append({**row, "study": self.name, "trial": number, **values})
        frame = pd.DataFrame.from_records(rows)
        if frame.empty:
            return frame
        rest = [c for c in frame.columns if c not in LEADING and not c.startswith(GROUPS)]
        grouped = [c for group in GROUPS for c in frame.columns if c.startswith(group)]
        return with_increase(frame[[*LEADING, *grouped, *rest]])

    def _candidates(self) -> Iterator[tuple[str, Path]]:
        if (self.root / RECORD_NAME).is_file() and "." not in self._rows:
            yield ".", self.root
            return
        with os.scandir(self.root) as entries:
            for entry in entries:
                seen = entry.name in self._rows or entry.name in OWN_FOLDERS or entry.name.startswith(".")
                if not seen and entry.is_dir():
                    yield entry.name, Path(entry.path)

    def _read_trial(self, name: str, path: Path) -> Iterator[Row]:
        trial = read_object(path / TRIAL)
        if trial is None and self.described:
            raise NotUsable("no trial.json: in flight, interrupted, or foreign")
        record = read_object(path / RECORD_NAME)
        state = (trial or {}).get("state")
        if state == "failed" or (state == "pruned" and record is None):
            yield lost_row(name, path, trial or {})
        elif record is not None:
            yield self._run(name, path, record, trial or {})
        elif trial is not None:
            yield from self._seeds(name, path, trial)
        elif (path / ERROR).is_file():
            yield lost_row(name, path, {})
        else:
            raise NotUsable("no record.json: unfinished or foreign")

    def _seeds(self, name: str, path: Path, trial: Json) -> Iterator[Row]:
        with os.scandir(path) as entries:
            found = sorted((e.name for e in entries if e.is_dir() and is_seed(e.name)), key=natural)
        used = 0
        for seed in found:
            try:
                record = read_object(path / seed / RECORD_NAME)
                if record is None:
                    raise NotUsable("no record.json: unfinished")
                number = natural(seed)[0]
                row = self._run(name, path / seed, record, trial, number if number >= 0 else None)
            except NotUsable as problem:
                self.skipped[f"{name}/{seed}"] = Skipped(folder=str(path / seed), reason=str(problem))
                continue
            used += 1
            yield row
        if not used:
            raise NotUsable("trial.json without any usable record.json")

    def _run(self, name: str, path: Path, record: Json, trial: Json, seed: int | None = None) -> Row:
        objectives = list(map(str, listed(self.described.get("objectives"))))
        row = run_row(name, path, record, trial, told_values(trial, objectives, seed))
        if not self.first_record:
            self.first_record = record
        if self.described:
            row.update(self._own_values(record, row["varied"]))
        else:
            self._overrides[str(path)] = overrides_of(record)
        return {**row, "settings": self._differences(record)}

    def _own_values(self, record: Json, varied: Sequence[str]) -> Row:
        """The axes that a trial does not set stand where its own configuration says."""
        rest = [a for a in self._axes if a.numeric and a.name not in varied]
        flat = flattened(config) if rest and isinstance(config := record.get("config"), Mapping) else {}
        return {f"axis.{a.name}": configured(flat, a.keys) for a in rest}

    def _differences(self, record: Json) -> dict[str, object]:
        """In what a run's configuration differs from that of the first run read, seeds apart."""
        own = identity(record, tuple(map(str, listed(self.described.get("seed_keys")))))
        if self._base is None:
            self._base = own
        base = self._base
        changed = {k: v for k, v in own.items() if k not in base or base[k] != v}
        return {**changed, **{k: ABSENT for k in base if k not in own}}

    def _complete_overrides(self) -> None:
        """A run that was not given a key still has a value for it: what its own configuration holds."""
        keys = dict.fromkeys(key for given in self._overrides.values() for key in given)
        for folder, given in self._overrides.items():
            missing = [key for key in keys if key not in given]
            if missing:
                record = read_object(Path(folder) / RECORD_NAME) or {}
                given.update({key: setting(record, key) for key in missing})


def with_increase(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill a missing error increase from the run's baseline, else from the digital run with the same seed."""
    if "metric.test_error" not in frame:
        return frame
    error = frame["metric.test_error"]
    filled = frame["metric.error_increase"] if "metric.error_increase" in frame else error * float("nan")
    baselines = [c for c in frame.columns if c.startswith("baseline.") and c.endswith(".test_error")]
    if baselines:
        filled = filled.fillna(error - frame[baselines].bfill(axis=1).iloc[:, 0])
    digital = frame[(frame["algorithm"] == "digital") & error.notna()]
    if len(digital):
        by_seed = digital.groupby("seed", dropna=False)["metric.test_error"].mean()
        filled = filled.fillna(error - frame["seed"].map(by_seed))
    return frame.assign(**{"metric.error_increase": filled})
