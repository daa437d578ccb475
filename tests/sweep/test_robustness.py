"""What must survive: half-written journals, deaths between two steps, and a whole study of bad days."""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

from crossweep.axis import Axis
from crossweep.records import write_json
from crossweep.study_folder import lease_file
from crossweep.sweep.ledger import Claim, Ledger, Reason, Stop, count_trials
from crossweep.sweep.objective import Outcome
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space
from crossweep.sweep.storage import open_storage
from crossweep.sweep.study import quiet_optuna
from tests.sweep.conftest import finished, optuna_states, trials_of

SPACE = Space((Axis(name="x", keys=("x",), low=0.0, high=1.0),))
DEAD = {"place": "elsewhere", "pid": 1, "born": "0", "host": "gone"}


def ledger_of(folder: Path, **settings: Any) -> Ledger:
    quiet_optuna()
    storage = open_storage("journal", folder)
    study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
    return Ledger(study, folder, Settings(sampler="random", **settings), SPACE)


def claimed(ledger: Ledger) -> Claim:
    claim = ledger.claim()
    assert isinstance(claim, Claim), claim
    return claim


def kill(ledger: Ledger, claim: Claim) -> None:
    """As if the trial's worker had been on another host and fallen silent."""
    path = lease_file(ledger.directory, claim.number)
    write_json(path, DEAD)
    os.utime(path, (0, 0))


def test_claims_never_overshoot_the_target(tmp_path: Path) -> None:
    claims: list[Claim | Stop] = []

    def work() -> None:
        ledger = ledger_of(tmp_path, n_trials=5)
        claims.extend(ledger.claim() for _ in range(3))

    ledger_of(tmp_path, n_trials=5)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [claim.number for claim in claims if isinstance(claim, Claim)]
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    assert len(claims) == 12


def test_a_point_whose_workers_die_is_tried_a_bounded_number_of_times(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, max_retries=2)
    points = []
    for _ in range(3):
        claim = claimed(ledger)
        points.append(claim.values)
        kill(ledger, claim)
        ledger.reap()
    assert points[0] == points[1] == points[2]
    assert claimed(ledger).values != points[0]
    assert [trial["retried"] for trial in trials_of(tmp_path)] == [True, True, False]


def test_a_point_that_is_tried_again_has_not_failed(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, max_retries=1, max_failures=0)
    for failed in (0, 1):
        kill(ledger, claimed(ledger))
        ledger.reap()
        assert count_trials(ledger.trials()).failed == failed
    assert ledger.claim() == Stop(Reason.TOO_MANY_FAILURES)


def test_a_worker_that_dies_between_writing_and_telling_loses_nothing(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    claim = claimed(ledger)
    outcome = Outcome(state="complete", values=(0.25,), seed_values=((0.25,),), metrics={"value": 0.25})
    ledger._write(claim.number, "complete", claim.values, started=None, outcome=outcome)
    kill(ledger, claim)
    ledger.reap()
    assert [(trial.state.name, trial.value) for trial in ledger.trials()] == [("COMPLETE", 0.25)]


def test_the_result_of_a_trial_that_was_given_up_is_dropped(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    claim = claimed(ledger)
    kill(ledger, claim)
    ledger.reap()
    ledger.finish(claim, Outcome(state="complete", values=(1.0,)), started="")
    assert trials_of(tmp_path)[0]["state"] == "failed"
    assert [trial.state.name for trial in ledger.trials()] == ["FAIL", "WAITING"]


@pytest.mark.parametrize("harm", [b"", b'{"place', b"[]", b"{}"])
def test_a_damaged_lease_is_judged_by_its_age(tmp_path: Path, harm: bytes) -> None:
    ledger = ledger_of(tmp_path)
    path = lease_file(tmp_path, claimed(ledger).number)
    path.write_bytes(harm)
    ledger.reap()
    assert [trial.state.name for trial in ledger.trials()] == ["RUNNING"]
    os.utime(path, (0, 0))
    ledger.reap()
    assert [trial.state.name for trial in ledger.trials()] == ["FAIL", "WAITING"]


def test_a_live_lease_is_left_alone(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    claimed(ledger)
    ledger.reap()
    assert [trial.state.name for trial in ledger.trials()] == ["RUNNING"]


def test_a_journal_torn_by_a_kill_heals(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    claimed(ledger)
    journal = tmp_path / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"work')
    again = ledger_of(tmp_path)
    claimed(again)
    assert len(again.trials()) == 2
    assert len(ledger_of(tmp_path).trials()) == 2
    assert all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "at_once"), [("journal", 1), ("journal", 4), ("sqlite", 1), ("grpc", 1), ("postgresql", 1)]
)
def test_forty_trials_on_bad_days(
    storage: str, at_once: int, tmp_path: Path, command: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """Kills, hangs, exceptions, NaN at random, restarted until done: nothing lost, nothing twice, whether a process has one
    trial or several at once."""
    import pandas as pd

    folder = tmp_path / "multirun" / "map"
    spec: Any = storage
    if storage == "grpc":
        pytest.importorskip("grpc")
    if storage == "postgresql":
        spec = {"name": "rdb", "url": request.getfixturevalue("postgresql").url}
    given = f"{{name: rdb, url: '{spec['url']}'}}" if isinstance(spec, dict) else spec
    env = {"APP_TOGETHER": "1"} if at_once > 1 else {}
    options = (
        f"+study.storage={given}",
        f"+study.at_once={at_once}",
        *("study.n_trials=40", "study.workers=4", "sleep=[0.05,0.3]", "+study.trial_timeout=3"),
        *(
            "+study.lease_timeout=10",
            "+study.max_failures=60",
            "+study.max_retries=8",
            "+study.diverged_value=9.0",
        ),
        *("chaos.kill=0.1", "chaos.hang=0.05", "chaos.crash=0.1", "chaos.nan=0.1"),
    )
    for _ in range(8):
        process = command(*options, **env)
        output, _ = process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0, output
    trials = trials_of(folder)
    states = optuna_states(folder, "journal" if storage == "grpc" else spec)
    assert states.get("COMPLETE", 0) == 40
    assert states.keys() <= {"COMPLETE", "FAIL"}
    assert len(finished(folder)) == 40
    assert [trial["number"] for trial in trials] == list(range(sum(states.values())))
    twice = Counter(tuple(trial["params"].items()) for trial in finished(folder))
    assert set(twice.values()) == {1}
    lost = {trial["number"] for trial in trials if trial["retried"]}
    assert lost == {trial["retry_of"] for trial in trials if trial["retry_of"] is not None}
    table = pd.read_parquet(folder / "results.parquet")
    assert sorted(table["trial"]) == [trial["number"] for trial in trials]
    first = [trial["started"] for trial in trials if trial["number"] < at_once]
    assert len(set(first)) == (1 if at_once > 1 else len(first))  # one worker has begun them together
    print(
        f"{storage}, {at_once} at once: {len(trials)} trials, {len(lost)} killed or hung, 40 finished, none twice"
    )


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["levelset", "gp"])
def test_samplers_that_learn_live_with_kills(
    sampler: str, tmp_path: Path, command: Callable[..., Any]
) -> None:
    folder = tmp_path / "multirun" / "map"
    options = ("study.n_trials=16", "study.workers=3", f"study.sampler={sampler}", "chaos.kill=0.2")
    more = ("+study.max_retries=8", "+study.lease_timeout=10", "+study.budget=0.5", "sleep=[0.05,0.3]")
    process = command(*options, *more)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    states = optuna_states(folder)
    assert len(finished(folder)) == states["COMPLETE"] == 16
    assert states.keys() <= {"COMPLETE", "FAIL"}
    # two asked at once may choose one point, but what was lost is repeated once
    again = Counter(trial["retry_of"] for trial in trials_of(folder) if trial["retry_of"] is not None)
    assert set(again.values()) <= {1}
    assert again.keys() == {trial["number"] for trial in trials_of(folder) if trial["retried"]}
    print(f"{sampler}: {states}")


@pytest.mark.slow
def test_two_hosts_on_a_slow_shared_folder(tmp_path: Path, command: Callable[..., Any]) -> None:
    """Two controllers that take each other for another machine, every file operation late by up to 0.2 s, and kills."""
    folder = tmp_path / "multirun" / "map"
    options = ("study.n_trials=16", "study.workers=2", "chaos.kill=0.1", "sleep=[0.1,0.5]")
    more = ("+study.max_retries=8", "+study.lease_timeout=15")
    slow = str(Path(__file__).with_name("slow_files"))
    path = os.pathsep.join([slow, *filter(None, [os.environ.get("PYTHONPATH")])])
    both = [command(*options, *more, PYTHONPATH=path, SLOW_HOST=name) for name in ("one", "two")]
    for process in both:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    hosts = {start["host"] for start in json.loads((folder / "study.json").read_text())["starts"]}
    states = optuna_states(folder)
    assert len(finished(folder)) == states["COMPLETE"] == 16
    assert states.keys() <= {"COMPLETE", "FAIL"}
    assert hosts == {"one", "two"}
    twice = Counter(tuple(trial["params"].items()) for trial in finished(folder))
    assert set(twice.values()) == {1}
    print(f"two hosts: {states}")


def ideal_makespan(durations: list[float]) -> float:
    """The shortest time in which two workers can do all of it: the best of all ways to share."""
    sums = {0.0}
    for item in durations:
        sums |= {round(total + item, 6) for total in sums}
    whole = sum(durations)
    return min(max(part, whole - part) for part in sums)


@pytest.mark.slow
def test_no_worker_waits_for_the_slowest(tmp_path: Path, command: Callable[..., Any]) -> None:
    """Twenty trials of 0.2 s or 3 s on two workers: at most 1.3 times the ideal makespan plus start-up."""
    folder = tmp_path / "multirun" / "map"
    options = ("study.n_trials=20", "study.workers=2", "sleep=[0.2,3.0]", "draw_seed=1", "+study.gpus=null")
    output, _ = (process := command(*options)).communicate()
    assert process.returncode == 0, output
    slept, first, ends = [], {}, []
    for trial in finished(folder):
        record = json.loads((folder / f"trial_{trial['number']}" / "record.json").read_text())
        slept.append(record["slept"])
        begun = datetime.fromisoformat(trial["started"])
        first[record["metrics"]["where"]] = min(begun, first.get(record["metrics"]["where"], begun))
        ends.append(datetime.fromisoformat(trial["finished"]))
    # the second worker's process may come up later than the first one's: that is start-up too
    start_up = (max(first.values()) - min(first.values())).total_seconds()
    makespan = (max(ends) - min(first.values())).total_seconds()
    allowed = 1.3 * ideal_makespan(slept) + start_up
    pairs = [max(slept[i : i + 2]) for i in range(0, 20, 2)]
    assert sum(pairs) > 1.3 * ideal_makespan(slept), "these draws could not tell batches from workers"
    assert len(first) == 2
    assert makespan <= allowed, f"{makespan:.1f} s for {ideal_makespan(slept):.1f} s of work per worker"
