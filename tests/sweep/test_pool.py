"""Several processes on one machine: kills, Ctrl-C, time limits, shared cores and GPUs."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.sweep.conftest import (
    done,
    finished,
    optuna_states,
    trials_of,
    wait_for,
    workers_at_work,
    workers_of,
)

Start = Callable[..., "subprocess.Popen[str]"]


def test_two_workers_one_killed(tmp_path: Path, command: Start) -> None:
    folder = tmp_path / "multirun" / "map"
    process = command("study.workers=2", "study.n_trials=5", "sleep=[0.5]", "+study.gpus=[4,7]")
    victim = min(wait_for(lambda: list(folder.glob("trial_*/.hydra")) and workers_of(folder)))
    os.kill(victim, signal.SIGKILL)
    done(process)
    trials = trials_of(folder)
    assert len(finished(folder)) == 5
    lost = [trial for trial in trials if trial["state"] == "failed"]
    assert len(lost) == 1
    again = next(trial for trial in trials if trial["retry_of"] == lost[0]["number"])
    # the same point again; a worker killed before it had drawn one leaves the drawing to the second try
    assert lost[0]["params"] in (again["params"], {})
    assert optuna_states(folder) == {"COMPLETE": 5, "FAIL": 1}
    records = [json.loads(path.read_text()) for path in folder.glob("trial_*/record.json")]
    assert {record["gpu"] for record in records} == {"4", "7"}
    assert {record["threads"] for record in records} == {"1"}
    assert len({record["metrics"]["where"] for record in records}) >= 2


def test_ctrl_c_puts_trials_back_and_the_next_start_goes_on(tmp_path: Path, command: Start) -> None:
    folder = tmp_path / "multirun" / "map"
    options = ("study.workers=2", "study.n_trials=3", "sleep=[0.2]", "+study.allow_changes=true")
    process = command(*options, "sleep=[60.0]")
    children = workers_at_work(folder, 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGINT, output
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert optuna_states(folder) == {"FAIL": 2, "WAITING": 2}
    given_up = [trial["params"] for trial in trials_of(folder)]
    done(command(*options))
    assert [point in [trial["params"] for trial in finished(folder)] for point in given_up] == [True, True]
    assert optuna_states(folder) == {"FAIL": 2, "COMPLETE": 3}


def test_workers_end_with_a_killed_controller(tmp_path: Path, command: Start) -> None:
    folder = tmp_path / "multirun" / "map"
    options = ("study.workers=2", "study.n_trials=3", "+study.lease_timeout=4")
    process = command(*options, "sleep=[60.0]")
    children = workers_at_work(folder, 2)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    assert optuna_states(folder) == {"FAIL": 2, "WAITING": 2}


def test_a_hanging_trial_is_stopped_and_tried_again(tmp_path: Path, command: Start) -> None:
    folder = tmp_path / "multirun" / "map"
    done(
        command(
            "study.n_trials=1",
            "chaos.hang=1.0",
            "+study.trial_timeout=1",
            "+study.max_retries=1",
            "+study.max_failures=50",  # the time budget ends it, however fast the machine is
            "+study.time_budget=8s",
            "study.anchors=[{across: 0.25, up: 0.5}]",
        )
    )
    trials = trials_of(folder)
    assert [trial["params"] for trial in trials[:2]] == [{"across": 0.25, "up": 0.5}] * 2
    assert all("time limit" in trial["error"] for trial in trials)
    assert [trial["retried"] for trial in trials[:2]] == [True, False]
