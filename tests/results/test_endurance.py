"""Pulses in reports: the table of each group, the sentence, and the front that nothing beats."""

from pathlib import Path

import numpy as np
import pytest

from crossweep.results import build_report
from crossweep.results.analysis import analyse
from crossweep.results.collecting import collect
from crossweep.results.endurance import endurance_sheet, sentences, unbeaten
from crossweep.results.plots.endurance import front
from crossweep.results.plots.style import drawing
from tests.results.studies import record, write

RUNS = [
    ("cttv2", 0.5, 900.0),
    ("cttv2", 1.0, 300.0),
    ("cttv2", 5.0, 100.0),
    ("cttv2", 6.0, 500.0),
    ("agad", 0.2, 50.0),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for n, (rule, increase, pulses) in enumerate(RUNS):
        content = record(increase, algorithm=rule)
        own = {
            "pulses_mean": pulses / 10,
            "pulses_high": pulses,
            "pulses_most": 2 * pulses,
            "endurance": 2000 * pulses,
        }
        metrics = content["metrics"] | own | {"pulses_never": 0.25}
        config = content["config"] | {"evaluation": {"trainings": 1000}}
        write(tmp_path / f"run_{n}" / "record.json", content | {"metrics": metrics, "config": config})
    return tmp_path


def test_each_group_has_its_counts(root: Path) -> None:
    analysis = analyse(collect(root))
    sheet = endurance_sheet(analysis).set_index("group")
    assert sheet.loc["cttv2", "pulses_high"] == 450 and sheet.loc["agad", "pulses_mean"] == 5
    assert sheet.loc["cttv2", "endurance"] == 1.8e6 and sheet.loc["cttv2", "runs"] == 4
    # only the runs within 1.2 points: 900 and 300 pulses
    assert sentences(analysis)[0].startswith(
        "cttv2: a device must endure 1800 pulses for one training, 1.8×10⁶ for 1000 trainings"
    )


def test_the_report_shows_the_front(root: Path) -> None:
    text = build_report(root).path.read_text()
    assert "Pulses that devices endure" in text and "What pulses buy" in text
    assert (root / "endurance.csv").is_file() and (root / "figures" / "endurance.png").is_file()
    with drawing():
        figure = front(analyse(collect(root)))
    assert figure is not None
    # agad has one run: no front
    assert [len(tips) for tips in figure.tips.values()] == [4]


def test_what_no_other_run_beats_in_both_is_the_front() -> None:
    places = np.array([[900, 0.5], [300, 1.0], [100, 5.0], [500, 6.0], [300, 1.0], [100, 5.1]])
    assert unbeaten(places).tolist() == [True, True, True, False, True, False]


def test_runs_without_counts_have_no_section(tmp_path: Path) -> None:
    write(tmp_path / "run_0" / "record.json", record(0.5))
    analysis = analyse(collect(tmp_path))
    assert endurance_sheet(analysis).empty and sentences(analysis) == []
    with drawing():
        assert front(analysis) is None
