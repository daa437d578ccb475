"""Files as nobody should write them: named in one line, never a traceback, and the rest goes on."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossweep import report as command
from crossweep.records import write_csv
from crossweep.results import build_report, collect, write_table
from crossweep.results.analysis import analyse
from crossweep.results.page import page
from crossweep.results.points import points
from crossweep.results.sentences import summary
from tests.results.studies import cliff, record, study, write

BAD: tuple[Any, ...] = (
    None, True, -1, 0.5, 10**400, 1e308, math.inf, "", "text", "=1+1", [], [[None]], {}, {"a": {"b": []}},
)  # fmt: skip


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a nested object."""
    items = content.items() if isinstance(content, dict) else ()
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


def changed(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(content))
    node = copy
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return copy


def dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_any_value_anywhere_in_a_record_or_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every key of both files against every kind of value, one trial each: built from the files themselves."""
    root = study(tmp_path / "s", cliff, n=8)
    good = json.loads((root / "trial_0" / "record.json").read_text()) | {
        "reference": "sgd",
        "warnings": ["w"],
    }
    trial = json.loads((root / "trial_0" / "trial.json").read_text()) | {
        "seeds": [0], "values": [1.0], "seed_values": [[1.0]]
    }  # fmt: skip
    cases = [("record", p, v) for p in places(good) for v in BAD] + [
        ("trial", p, v) for p in places(trial) for v in BAD
    ]
    for number, (which, place, value) in enumerate(cases, start=8):
        folder = root / f"trial_{number}"
        dump(folder / "record.json", changed(good, place, value) if which == "record" else good)
        dump(folder / "trial.json", changed(trial, place, value) if which == "trial" else trial)
    table = collect(root)
    assert len(table.rows) + len(table.skipped) == 8 + len(cases) and len(table.rows) > len(cases) / 2
    assert all(Path(s.folder).is_dir() and s.reason for s in table.skipped)
    assert write_table(root)
    analysed = analyse(table)
    assert summary(analysed)
    assert page(analysed, [], str)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "place",
    (
        "name",
        pytest.param("axes", marks=pytest.mark.slow),
        "objectives",
        "directions",
        "budget",
        "seed_keys",
        "config",
    ),
)
def test_any_value_anywhere_in_a_study_description(place: str, tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=2)
    described = json.loads((root / "study.json").read_text())
    for value in BAD:
        dump(root / "study.json", {**described, place: value})
        analysed = analyse(collect(root))
        assert summary(analysed) and page(analysed, [], str)
    assert build_report(root, figures=False).path.is_file()
    if place == "axes":
        for key in described["axes"][0]:
            for value in BAD:
                dump(
                    root / "study.json", changed(described, ("axes",), [{**described["axes"][0], key: value}])
                )
                assert summary(analyse(collect(root)))


@pytest.mark.parametrize(
    "content", [b"", b'{"format": 1, "na', b"[1, 2]", b"\xff\xfe\x00", b"[" * 100_000, b"null"]
)
@pytest.mark.parametrize("name", ["study.json", "trial_1/trial.json", "trial_1/record.json"])
def test_half_and_foreign_files_are_named_and_the_rest_goes_on(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = study(tmp_path / "s", cliff, n=4)
    (root / name).write_bytes(content)
    command.main([str(root), "--collect"])
    out, err = capsys.readouterr()
    assert ("4 runs" if name == "study.json" else "3 runs") in out and not err
    (line,) = [
        line
        for line in out.splitlines()
        if "skipped " in line and ": " in line and "folders skipped" not in line
    ]
    assert str(root / Path(name).parts[0]) in line and Path(name).name in line


def test_a_trial_told_a_value_for_its_divergence_is_on_the_map(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=8)
    trial = {"number": 8, "state": "diverged", "params": {"skew": 0.5, "variability": 0.8}, "seeds": [0, 1]}
    write(root / "trial_8" / "trial.json", {**trial, "values": [45.0], "seed_values": [[90.0, 0.0]]})
    for seed, increase in enumerate((None, 0.0)):
        content = record(increase, seed={"device": seed, "training": seed})
        content["metrics"]["error_increase"], content["baselines"] = increase, {}
        write(root / "trial_8" / f"seed_{seed}" / "record.json", content)
    table = collect(root)
    rows = table.rows[table.rows["trial"] == 8]
    assert list(rows["state"]) == ["diverged", "complete"] and list(rows["metric.error_increase"]) == [
        90.0,
        0.0,
    ]
    found = points(table.rows, [a for a in table.axes if a.numeric], "metric.error_increase")
    assert found.n == 9 and found.diverged.sum() == 1 and found.y[found.diverged] == 45.0
    assert "9 trials (8 complete, 1 diverged)" in summary(analyse(table))[0]


def test_no_exported_cell_is_a_formula(tmp_path: Path) -> None:
    evil = "=cmd|' /C calc'!A0"
    root = study(tmp_path / "s", cliff, n=8, algorithms=("cttv2", "ttv2"))
    for i, path in enumerate(sorted(root.glob("trial_*/record.json"))):
        content = json.loads(path.read_text())
        content["algorithm"] = evil if content["algorithm"] == "ttv2" else "+1+cmd"
        content["choices"], content["metrics"]["-2+3"] = {"device": "@SUM(1+1)*cmd"}, float(i)
        write(path, content)
    write(root / "trial_99" / "trial.json", {"number": 99, "state": "failed", "error": "-1+cmd|x"})
    build_report(root, figures=False)
    write_csv(tmp_path / "history.csv", [{"=a": evil, "b": -1.5, "c": "-1.5"}])
    for path in [*root.glob("*.csv"), tmp_path / "history.csv"]:
        cells = [cell for row in csv.reader(io.StringIO(path.read_text())) for cell in row]
        for cell in cells:
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), (path, cell)
            assert not cell.startswith("-") or np.isfinite(float(cell)), (path, cell)
    assert f"'{evil}" in (root / "results.csv").read_text()
    assert evil in set(pd.read_parquet(root / "results.parquet")["algorithm"])  # data stay as they were


@pytest.mark.parametrize("budget", ["nan", "inf", "-inf", "much", ""])
def test_a_budget_that_is_no_number_is_one_line(
    budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = study(tmp_path / "s", cliff, n=2)
    with pytest.raises(SystemExit) as ended:
        command.main([str(root), f"--budget={budget}"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.startswith("crossweep-report: --budget: ") and err.count("\n") == 1
    assert not (root / "report.html").exists()


def test_other_bad_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = study(tmp_path / "s", cliff, n=2)
    (tmp_path / "file").write_text("")
    for words in (["--seed=-1"], ["--output", str(tmp_path / "file")], ["--metric", "nothing"]):
        with pytest.raises(SystemExit, match="2"):
            command.main([str(root), *words])
        assert capsys.readouterr().err.count("\n") == 1
