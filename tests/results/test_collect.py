"""From folders to one table: whatever lies there, nothing is lost and nothing is fatal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossweep.errors import StudyError
from crossweep.results import TableWriter, collect, write_table
from tests.results.studies import cliff, record, study, write


def test_every_run_is_one_row_with_all_that_was_asked(tmp_path: Path) -> None:
    table = collect(study(tmp_path / "s", cliff, n=4, seeds=3))
    assert len(table.rows) == 12 and not table.skipped
    row = table.rows.iloc[0]
    assert row["study"] == "s" and row["algorithm"] == "cttv2" and row["state"] == "complete"
    assert {"axis.skew", "axis.variability", "choice.device", "metric.test_error", "cost.pulses"} <= set(
        row.index
    )
    assert {"baseline.sgd.test_error", "wall_seconds", "commit", "folder", "seed.device"} <= set(row.index)
    assert sorted(table.rows["seed"].unique()) == [0, 1, 2]
    assert row["metric.error_increase"] == pytest.approx(
        row["metric.test_error"] - row["baseline.sgd.test_error"]
    )
    assert [a.title for a in table.axes] == ["SP skew [w_max]", "SP variability [w_max]"]


def test_bad_folders_are_named_counted_and_skipped(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=4)
    (root / "trial_90").mkdir()
    (root / "notes").mkdir()
    write(root / "trial_91" / "trial.json", {"number": 91, "state": "complete"})
    (root / "trial_92").mkdir()
    (root / "trial_92" / "trial.json").write_text('{"number": 92, "sta')
    write(root / "trial_93" / "trial.json", {"number": 93, "state": "complete"})
    write(root / "trial_93" / "record.json", record(1.0, format=7))
    write(root / "trial_94" / "trial.json", {"number": 94, "state": "complete"})
    write(root / "trial_94" / "record.json", [1, 2])
    write(root / "trial_95" / "trial.json", {"number": 95, "state": "complete"})
    write(root / "trial_95" / "record.json", {"format": 1, "state": "complete"})
    (root / "readme.txt").write_text("not a folder")
    table = collect(root)
    reasons = {Path(s.folder).name: s.reason for s in table.skipped}
    assert len(table.rows) == 4
    assert set(reasons) == {"trial_90", "notes", "trial_91", "trial_92", "trial_93", "trial_94", "trial_95"}
    assert "in flight" in reasons["trial_90"] and "half-written" in reasons["trial_92"]
    assert "format 7" in reasons["trial_93"] and "not a JSON object" in reasons["trial_94"]
    assert "lacks algorithm, metrics" in reasons["trial_95"]


def test_a_half_written_seed_costs_only_itself(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=2, seeds=2)
    (root / "trial_1" / "seed_1" / "record.json").write_text("{")
    table = collect(root)
    assert len(table.rows) == 3
    assert [s.folder for s in table.skipped] == [str(root / "trial_1" / "seed_1")]


def test_failed_trials_are_rows_with_their_error(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=2)
    error = "Traceback (most recent call last):\n  ...\nRuntimeError: out of memory\n"
    content = {"number": 2, "state": "failed", "params": {"skew": 0.25, "variability": 0.1}, "error": error}
    write(root / "trial_2" / "trial.json", content)
    (root / "trial_2" / "error.txt").write_text(error)
    row = collect(root).rows.iloc[2]
    assert row["state"] == "failed" and row["error"] == "RuntimeError: out of memory"
    assert row["axis.skew"] == 0.25 and np.isnan(row["metric.error_increase"])


def test_pruned_trials_without_a_record_are_rows_too(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=2)
    write(root / "trial_2" / "trial.json", {"number": 2, "state": "pruned", "params": {"skew": 0.25}})
    row = collect(root).rows.iloc[2]
    assert row["state"] == "pruned" and row["axis.skew"] == 0.25 and not isinstance(row["error"], str)


def grid(root: Path) -> Path:
    """A multirun of Hydra's own over algorithm, skew and seed; the first runs were not given a skew."""
    number = 0
    for algorithm in ("cttv2", "agad"):
        for skew in (None, 0.1, 0.2):
            for seed in (0, 1):
                overrides = [f"algorithm={algorithm}", f"seed={seed}"]
                overrides += [] if skew is None else [f"+symmetry_point.skew={skew}"]
                content = record((skew or 0.0) * 10, algorithm=algorithm, overrides=overrides)
                write(
                    root / str(number) / "record.json",
                    {**content, "seed": {"device": seed, "training": seed}},
                )
                number += 1
    return root


def test_axes_of_a_plain_grid_come_from_the_overrides(tmp_path: Path) -> None:
    root = grid(tmp_path / "grid")
    (root / ".hydra").mkdir()
    write(root / "12" / "nothing.json", {})
    table = collect(root)
    assert [(a.name, a.low, a.high) for a in table.axes] == [("symmetry_point.skew", 0.0, 0.2)]
    skew = table.rows["axis.symmetry_point.skew"]
    assert skew.notna().all() and sorted(skew.unique()) == [0.0, 0.1, 0.2]
    assert [s.reason for s in table.skipped] == ["no record.json: unfinished or foreign"]


def test_a_single_run_and_a_folder_of_studies(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "one" / "record.json", record(0.4))
    assert len(collect(tmp_path / "runs" / "one").rows) == 1
    study(tmp_path / "all" / "a", cliff, n=2)
    study(tmp_path / "all" / "b", cliff, n=2)
    table = collect(tmp_path / "all")
    assert [s.name for s in table.studies] == ["a", "b"] and len(table.rows) == 4


def test_named_runs_are_trials_of_their_own(tmp_path: Path) -> None:
    for name in ("digits-cttv2-3ec8", "digits-cttv2-8510", "digits-agad-12ab"):
        write(tmp_path / "runs" / name / "record.json", record(0.4))
    assert sorted(collect(tmp_path / "runs").rows["trial"]) == [0, 1, 2]


def test_studies_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    folders = [study(tmp_path / day / "s", cliff, n=2) for day in ("monday", "tuesday")]
    assert list(collect(folders).rows["study"].unique()) == ["monday/s", "tuesday/s"]


def test_missing_increase_is_paired_with_the_digital_run_of_the_seed(tmp_path: Path) -> None:
    for number, (algorithm, seed, error) in enumerate(
        [("digital", 0, 6.0), ("digital", 1, 8.0), ("cttv2", 1, 9.5)]
    ):
        content = record(None, algorithm=algorithm, overrides=[f"algorithm={algorithm}", f"seed={seed}"])
        content["metrics"] = {"test_error": error}
        write(tmp_path / "g" / str(number) / "record.json", {**content, "seed": {"training": seed}})
    rows = collect(tmp_path / "g").rows
    assert rows.loc[rows["algorithm"] == "cttv2", "metric.error_increase"].item() == 1.5


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty" / "trial_0").mkdir(parents=True)
    with pytest.raises(StudyError, match="unfinished or foreign"):
        collect(tmp_path / "empty")
    with pytest.raises(StudyError, match="does not exist"):
        collect(tmp_path / "nowhere")


def test_the_table_on_disk_equals_the_folders(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=4)
    parquet, csv = write_table(root)
    stored, text = pd.read_parquet(parquet), pd.read_csv(csv)
    assert len(stored) == len(text) == 4
    assert list(stored["folder"]) == [f"trial_{i}" for i in range(4)]
    np.testing.assert_allclose(stored["metric.error_increase"], collect(root).rows["metric.error_increase"])
    assert not list(root.glob(".results*"))


def test_the_writer_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = study(tmp_path / "s", cliff, n=4)
    writer = TableWriter(root)
    assert writer.update()
    source = json.loads((root / "trial_0" / "record.json").read_text())
    write(root / "trial_4" / "record.json", source)
    write(root / "trial_4" / "trial.json", {"number": 4, "state": "complete", "params": {"skew": 0.1}})
    read: list[str] = []
    from crossweep.results import parse, reading

    def counted(path: Path) -> object:
        read.append(path.parent.name)
        return parse.read_object(path)

    monkeypatch.setattr(reading, "read_object", counted)
    assert writer.update(force=True)
    assert set(read) == {"s", "trial_4"}
    assert len(pd.read_parquet(root / "results.parquet")) == 5


def test_the_writer_keeps_to_its_share_of_time(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=2)
    writer = TableWriter(root, max_share=1e-6)
    assert writer.update()
    assert not writer.update()
    assert writer.update(force=True)


def test_results_and_report_need_no_torch() -> None:
    code = (
        "import sys, crossweep.report, crossweep.results.reporting, crossweep.gp\n"
        "import crossweep.results as r; r.collect, r.TableWriter, r.analyse, r.build_report, r.finish\n"
        "bad = {'torch', 'hydra', 'omegaconf', 'optuna'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_writer_needs_no_matplotlib() -> None:
    code = "import sys, crossweep.results as r; r.TableWriter; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
