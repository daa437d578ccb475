"""The line of a study where nothing can be redrawn."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossweep.sweep import status_line
from crossweep.sweep.status_line import StatusLine, duration


def test_a_line_comes_when_something_has_changed_and_seldom_when_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(status_line.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(status_line, "count_trials", lambda trials: SimpleNamespace(finished=0))
    watched = StatusLine(SimpleNamespace(trials=list, running=list), 6, live=False, mode="plain")  # type: ignore[arg-type]
    show, _ = watched._plain()
    for now, line in (
        (100.0, "0/6 done, 6 running"),
        (100.5, "0/6 done, 5 running"),  # too soon after the last one
        (103.0, "0/6 done, 5 running"),
        (160.0, "0/6 done, 5 running, about 9 min left"),
        (224.0, "0/6 done, 5 running, about 7 min left"),
    ):
        clock[0] = now
        show(line)
    watched._done.set()
    show("0/6 done, 5 running")
    show("6/6 done, 0 running")
    assert capsys.readouterr().err.splitlines() == [
        "0/6 done, 6 running",
        "0/6 done, 5 running",
        "0/6 done, 5 running, about 7 min left, 2 min 04 s so far",
        "6/6 done, 0 running",
    ]


def test_where_nothing_changes_it_says_how_far_a_run_has_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clock = [0.0]
    monkeypatch.setattr(status_line.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(status_line, "count_trials", lambda trials: SimpleNamespace(finished=0))
    trials = [SimpleNamespace(number=number) for number in (4, 7, 9)]
    book = SimpleNamespace(trials=list, running=lambda: trials, folder=lambda n: tmp_path / f"trial_{n}")
    for at, log in enumerate(("trial_7/seed_1/train.log", "trial_9/train.log", "trial_7/seed_0/train.log")):
        (tmp_path / log).parent.mkdir(parents=True)
        (tmp_path / log).write_text(f"fine-tune 1/40\nfine-tune {at}/40       loss 0.5\n\n")
        os.utime(tmp_path / log, (at, at))
    show, _ = StatusLine(book, None, live=False, mode="plain")._plain()  # type: ignore[arg-type]
    for clock[0] in (0.0, 130.0):
        show("0 done, 3 running")
    trials.pop(1)
    clock[0] = 260.0
    show("0 done, 3 running")
    assert capsys.readouterr().err.splitlines() == [
        "0 done, 3 running",
        "0 done, 3 running, 2 min 10 s so far; trial 7: fine-tune 2/40 loss 0.5",
        "0 done, 3 running, 4 min 20 s so far; trial 9: fine-tune 1/40 loss 0.5",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(7.4, "7 s"), (95, "1 min 35 s"), (7260, "2 h 01 min")])
def test_durations_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
