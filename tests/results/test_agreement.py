"""Studies against published tables: the right cells, honest intervals, and what a study did otherwise."""

from pathlib import Path
from typing import Any

import pytest

from crossweep.errors import ConfigError
from crossweep.published import Published
from crossweep.results import build_report
from crossweep.results.agreement import agreement
from crossweep.results.collecting import collect
from tests.results.studies import record, write

TABLE: dict[str, Any] = {
    "source": "Somebody, 2025",
    "metric": "test_accuracy",
    "scale": 100,
    "unit": "%",
    "axis": "states",
    "at": [10, 100],
    "fixed": {"skew": 0.0},
    "rows": {"ttv2": [90.0, 95.0], "agad": [91.0, None]},
    "settings": {"training.epochs": 30},
}
AXES = [
    {"name": "states", "keys": ["device.n_states"], "low": 10, "high": 100},
    {"name": "skew", "keys": ["symmetry_point.skew"], "low": 0.0, "high": 0.5},
]
# of each cell: rule, states, skew, accuracies of its seeds [%]
CELLS = [
    ("ttv2", 10, 0.0, (89.0, 90.0, 92.0)),
    ("ttv2", 100, 0.0, (80.0, 80.5, 81.0)),
    ("ttv2", 100, 0.4, (10.0, 10.0, 10.0)),
    ("agad", 10, 0.0, (91.5,)),
    ("agad", 100, 0.0, (50.0, 51.0)),
    ("ttv1", 10, 0.0, (50.0, 51.0)),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def write_study(root: Path) -> Path:
    """A study of the published cells and of some others, with five epochs instead of thirty."""
    described = {"name": "states", "axes": AXES, "objectives": ["error_increase"], "directions": ["minimize"]}
    more = {"seed_keys": ["seed.training"], "published": TABLE, "config": {"training.epochs": 5}}
    write(root / "study.json", described | more)
    for n, (rule, states, skew, accuracies) in enumerate(CELLS):
        folder = root / f"trial_{n}"
        params = {"states": states, "skew": skew, "algorithm": rule}
        write(folder / "trial.json", {"number": n, "state": "complete", "params": params})
        for seed, accuracy in enumerate(accuracies):
            metrics = {"test_accuracy": accuracy / 100, "test_error": 100 - accuracy, "error_increase": 1.0}
            config = {
                "training": {"epochs": 5},
                "device": {"n_states": states},
                "symmetry_point": {"skew": skew},
            }
            run = record(1.0, algorithm=rule, metrics=metrics, config=config, seed={"training": seed})
            write(folder / f"seed_{seed}" / "record.json", run)
    return root


def test_every_cell_that_was_run_stands_beside_its_published_number(root: Path) -> None:
    sheet = agreement(collect(root)).set_index(["algorithm", "states"])
    assert list(sheet.index) == [
        ("ttv2", 10),
        ("ttv2", 100),
        ("agad", 10),
    ]  # nothing at other skews, no other rule
    first, second, third = (sheet.iloc[i] for i in range(3))
    assert first["here"] == pytest.approx(271 / 3) and first["published"] == 90.0 and first["seeds"] == 3
    # Student's t with two degrees of freedom: 4.303 standard errors
    assert first["high"] - first["here"] == pytest.approx(4.303 * 1.5275 / 3**0.5, rel=1e-3)
    assert first["verdict"].startswith("agrees") and second["verdict"] == "below by 14.5"
    assert third["verdict"] == "one seed: no interval"


def test_the_report_says_where_the_study_is_not_as_printed(root: Path) -> None:
    report = build_report(root, figures=False)
    text = report.path.read_text()
    assert "Against published numbers" in text and "Somebody, 2025" in text
    assert "Not as printed there: training.epochs: 5 instead of 30." in text
    assert (root / "published.csv").read_text().count("\n") == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": {"ttv2": [90.0]}}, r"rows\.ttv2: must hold 2 numbers, got 1"),
        ({"rows": {"ttv2": [90.0, "much"]}}, r"rows\.ttv2"),
        ({"unit_": "%"}, r"study\.published\.unit_: no such entry"),
        ({"at": "all"}, r"study\.published\.at"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Published.of(TABLE | changes, "study.published")


def test_a_table_must_be_complete() -> None:
    with pytest.raises(ConfigError, match=r"study\.published\.source: must be given"):
        Published.of({k: v for k, v in TABLE.items() if k != "source"}, "study.published")
