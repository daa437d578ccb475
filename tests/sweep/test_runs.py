"""A study in one process: targets, resuming, seeds, failures, objectives, pruning, listing."""

import json
import math
import time
from pathlib import Path

import pytest
import yaml

from crossweep import train
from crossweep.errors import ConfigError, StudyError
from crossweep.sweep import controller, ledger
from crossweep.sweep.objective import state_of
from tests.sweep.conftest import Sweep, finished, optuna_states, trials_of


def test_a_study_leaves_records_trials_and_a_table(sweep: Sweep) -> None:
    import pandas as pd

    folder = sweep("study.n_trials=3")
    trials = trials_of(folder)
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    for trial in trials:
        record = json.loads((folder / f"trial_{trial['number']}" / "record.json").read_text())
        assert record["config"] == {"x": trial["params"]["across"], "y": trial["params"]["up"]}
        assert trial["values"] == [record["metrics"]["loss"]]
    table = pd.read_parquet(folder / "results.parquet")
    assert sorted(table["trial"]) == [0, 1, 2]
    assert not list((folder / ".leases").glob("*.json"))


def test_starting_again_goes_on_to_the_new_target_and_repeats_nothing(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=2")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trial_*/record.json")}
    sweep("study.n_trials=2")
    assert len(trials_of(folder)) == 2
    sweep("study.n_trials=4")
    assert len(trials_of(folder)) == 4
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_a_continued_study_draws_the_points_of_an_uninterrupted_one(sweep: Sweep) -> None:
    for sampler in ("qmc", "random", "tpe"):
        name = f"study.sampler={sampler}"
        whole = sweep("study.n_trials=4", name, "study.name=whole", f"hydra.sweep.dir=multirun/{sampler}_a")
        sweep("study.n_trials=2", name, "study.name=cut", f"hydra.sweep.dir=multirun/{sampler}_b")
        sweep("study.n_trials=4", name, "study.name=cut", f"hydra.sweep.dir=multirun/{sampler}_b")
        points = [
            [trial["params"] for trial in trials_of(whole.parent / f"{sampler}_{run}")] for run in ("a", "b")
        ]
        assert points[0] == points[1]
        assert len({tuple(point.values()) for point in points[0]}) == 4


def test_a_lost_journal_is_rebuilt_from_the_trial_folders(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=3", "chaos.crash=0.0")
    before = trials_of(folder)
    (folder / "study.journal").unlink()
    sweep("study.n_trials=4", "chaos.crash=0.0")
    after = trials_of(folder)
    assert after[:3] == before
    assert len(after) == 4
    assert optuna_states(folder) == {"COMPLETE": 4}


def test_resume_can_be_required_and_forbidden(sweep: Sweep) -> None:
    with pytest.raises(StudyError, match="required"):
        sweep("+study.resume=require")
    folder = sweep("study.n_trials=1")
    sweep("+study.resume=require", "study.n_trials=2")
    assert len(trials_of(folder)) == 2
    with pytest.raises(StudyError, match="never"):
        sweep("+study.resume=never")


def test_a_study_does_not_silently_change_what_it_is(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=1")
    with pytest.raises(
        StudyError, match=r"depth: 3 -> 4; study\.name=ANOTHER .* study\.allow_changes=true goes on"
    ):
        sweep("study.n_trials=2", "depth=4")
    # what differs, not two descriptions
    with pytest.raises(StudyError, match=r"has other axes: up\.high: 1.0 -> 2.0; study\.name=ANOTHER begins"):
        sweep("study.n_trials=2", "axis.up.high=2.0", "+study.allow_changes=true")
    for other, what in (
        ("study.seeds=[1]", "seeds"),
        ("study.objectives=[cost]", "objectives"),
        ("study.objectives=[{loss: maximize}]", "objectives"),
    ):
        with pytest.raises(StudyError, match=f"has other {what}"):
            sweep("study.n_trials=2", other, "+study.allow_changes=true")
    sweep("study.n_trials=2", "depth=4", "+study.allow_changes=true")
    assert len(trials_of(folder)) == 2
    # and it keeps how it was asked for
    said = json.loads((folder / "study.json").read_text())["command"]
    assert said.startswith("python ") and said.endswith("study.n_trials=2 depth=4 +study.allow_changes=true")


def test_seeds_run_inside_one_trial_and_are_averaged(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=2", "study.seeds=[3,5,8]", "noise=0.1")
    for trial in trials_of(folder):
        records = [
            json.loads((folder / f"trial_{trial['number']}" / f"seed_{seed}" / "record.json").read_text())
            for seed in (3, 5, 8)
        ]
        losses = [record["metrics"]["loss"] for record in records]
        assert [record["seed"]["device"] for record in records] == [3, 5, 8]
        assert trial["seed_values"] == [losses]
        assert trial["values"] == [pytest.approx(sum(losses) / 3)]
        assert len(set(losses)) == 3
    # common random numbers: the same seeds disturb every point alike
    noise = [
        [value - math.hypot(*trial["params"].values()) for value in trial["seed_values"][0]]
        for trial in trials_of(folder)
    ]
    assert noise[0] == pytest.approx(noise[1])


def test_a_seed_reaches_every_key_that_is_to_receive_it(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=2", "study.seeds=[3,5]", "study.seed_keys=[seed,draw_seed]")
    for trial in trials_of(folder):  # the first one is composed, the second one is filled in
        for seed in (3, 5):
            place = folder / f"trial_{trial['number']}" / f"seed_{seed}"
            composed = yaml.safe_load((place / ".hydra" / "config.yaml").read_text())
            assert (composed["seed"], composed["draw_seed"]) == (seed, seed)
            told = json.loads((place / "record.json").read_text())["overrides"]
            assert {f"seed={seed}", f"draw_seed={seed}"} <= set(told)


def test_anchors_come_first(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=4", "study.anchors=[ideal,nominal,{across: 1.0}]")
    points = [trial["params"] for trial in trials_of(folder)]
    assert points[0] == {"across": 0.0, "up": 0.0}
    assert points[1] == {"across": 0.5, "up": 0.5}
    assert points[2] == {"across": 1.0, "up": 0.5}
    with pytest.raises(ConfigError, match="no axis sideways"):
        sweep("study.anchors=[{sideways: 1.0}]", "study.name=other")


def test_crashes_are_recorded_and_stop_the_study_when_there_are_too_many(sweep: Sweep) -> None:
    with pytest.raises(StudyError, match="max_failures: more than 2"):
        sweep("study.n_trials=5", "chaos.crash=1.0", "+study.max_failures=2")
    folder = Path("multirun/map")
    trials = trials_of(folder)
    assert [trial["state"] for trial in trials] == ["failed"] * 3
    assert trials[0]["error"] == "RuntimeError: bad day"
    assert "bad day" in (folder / "trial_0" / "error.txt").read_text()
    # the next start accepts as many again, and repeats the failed points if asked to
    sweep("study.n_trials=3", "chaos.crash=0.0", "+study.allow_changes=true", "+study.retry_failed=true")
    assert [trial["params"] for trial in finished(folder)] == [trial["params"] for trial in trials]


def test_a_value_that_is_not_finite_is_a_failure_or_a_result_as_told(sweep: Sweep) -> None:
    with pytest.raises(StudyError, match="max_failures"):
        sweep("study.n_trials=2", "chaos.nan=1.0", "+study.max_failures=0")
    assert "diverged_value" in trials_of(Path("multirun/map"))[0]["error"]
    sweep("study.n_trials=2", "chaos.nan=1.0", "+study.diverged_value=9.0", "hydra.sweep.dir=multirun/told")
    trials = trials_of(Path("multirun/told"))
    assert [trial["state"] for trial in trials] == ["diverged", "diverged"]
    assert [trial["values"] for trial in trials] == [[9.0], [9.0]]


@pytest.mark.parametrize("state", ["diverged", "pruned"])
def test_a_run_returns_how_it_ended(
    state: str, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study needs no file of the run to know."""
    record = {"state": state, "metrics": {"error_increase": 80.0}, "warnings": []}
    monkeypatch.setattr(train, "train_all", lambda runs: [record])
    words = ("-m", "study=landscape_skew_variability", "data=synthetic", "model=mlp")
    alone = ("study.n_trials=1", "study.seeds=[0]", "study.workers=1", "study.progress=none")
    sweep(*alone, "study.table=null", "study.report=null", base=words, program=train.main)
    (trial,) = trials_of(tmp_path / "multirun" / "landscape_skew_variability")
    assert trial["state"] == state
    assert trial["values"] == (None if state == "pruned" else [80.0])


def test_a_state_that_is_none_is_named() -> None:
    assert state_of({"state": 3.0}) == state_of(1.5) == "complete"
    with pytest.raises(StudyError, match=r"complete, diverged, pruned; it returned 'dviverged'"):
        state_of({"state": "dviverged"})


def test_several_objectives_by_name_and_constraints(sweep: Sweep) -> None:
    import optuna

    from crossweep.sweep.storage import open_storage

    folder = sweep(
        "study.n_trials=4",
        "study.objectives=[cost,{loss: maximize}]",
        "+study.constraints=['loss <= 1.0','cost >= 0.2']",
        "study.sampler=nsgaii",
    )
    study = optuna.load_study(study_name="map", storage=open_storage("journal", folder))
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    for trial in study.trials:
        metrics = trial.user_attrs["metrics"]
        assert trial.values == [metrics["cost"], metrics["loss"]]
        assert trial.constraints == {
            "loss <= 1.0": pytest.approx(metrics["loss"] - 1),
            "cost >= 0.2": pytest.approx(0.2 - metrics["cost"]),
        }


def test_a_bare_number_is_enough(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=1", "bare=true")
    assert trials_of(folder)[0]["metrics"].keys() == {"loss"}


def test_a_missing_metric_is_named(sweep: Sweep) -> None:
    with pytest.raises(StudyError, match="max_failures"):
        sweep("study.n_trials=1", "study.objectives=[{gain: maximize}]", "+study.max_failures=0")
    error = trials_of(Path("multirun/map"))[0]["error"]
    assert "must return gain; it returned cost, loss, where" in error


def test_pruning_stops_bad_trials_and_counts_them(sweep: Sweep) -> None:
    folder = sweep(
        "study.n_trials=6",
        "steps=4",
        "+study.pruner={name: median, n_startup_trials: 2, n_warmup_steps: 0}",
        "study.anchors=[{across: 0.1, up: 0.1},{across: 0.1, up: 0.2},{across: 1.0, up: 1.0}]",
    )
    trials = trials_of(folder)
    assert trials[2]["state"] == "pruned"
    assert optuna_states(folder)["PRUNED"] == sum(trial["state"] == "pruned" for trial in trials)
    assert len(finished(folder)) == 6


class Clock:
    """Stands for the module ``time``: half a second passes from one look at the clock to the next."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        self.now += 0.5
        return self.now

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


def test_time_budget_starts_no_trial_after_it(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in (controller, ledger):
        monkeypatch.setattr(module, "time", clock)
    folder = sweep("study.n_trials=50", "+study.time_budget=3s")
    assert 1 <= len(trials_of(folder)) < 10


def test_dry_run_lists_and_runs_nothing(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep("study.n_trials=3", "+study.dry_run=true", "study.seeds=2", "study.anchors=[ideal]")
    listing = capsys.readouterr().out
    assert not folder.exists()
    assert "3 trials, 6 runs" in listing
    assert "trial 0: across=0  up=0" in listing
    assert "across: 0 .. 1 [m], linear -> x" in listing
    sweep("study.n_trials=3", "study.seeds=2", "study.anchors=[ideal]")
    planned = [line.split(": ", 1)[1] for line in listing.splitlines() if line.startswith("  trial")]
    ran = [
        "  ".join(f"{name}={value:.5g}" for name, value in trial["params"].items())
        for trial in trials_of(folder)
    ]
    assert planned == ran


def test_generic_programs_need_no_study_group(sweep: Sweep) -> None:
    sweep(
        "-m",
        "hydra/sweeper=crossweep",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.n_trials=null",
        "hydra.sweeper.progress=none",
        "hydra.sweep.dir=multirun/free",
        "x=range(0.0,0.3,0.1)",
        "shape=round,square",
        base=(),
    )
    trials = trials_of(Path("multirun/free"))
    cells = {(trial["params"]["x"], trial["params"]["shape"]) for trial in trials}
    assert cells == {(x, shape) for x in (0.0, 0.1, 0.2) for shape in ("round", "square")}


def test_a_mistyped_axis_key_fails_before_anything_runs(sweep: Sweep) -> None:
    with pytest.raises(ConfigError, match=r"^yy: is read by nothing"):
        sweep("axis.up.keys=[yy]")
    assert not Path("multirun/map").exists()


def test_a_mistyped_setting_is_named_with_a_suggestion(sweep: Sweep) -> None:
    with pytest.raises(ConfigError, match=r"study.n_trails: no such setting, did you mean n_trials"):
        sweep("+study.n_trails=3")


def test_a_study_keeps_its_number_of_threads(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are not the same bits with another number of threads, so a study does not mix them."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    folder = sweep("study.n_trials=1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sweep("study.n_trials=2")
    with pytest.raises(StudyError, match=r"study.threads: 3 -> 2"):
        sweep("study.n_trials=3", "+study.threads=2")
    sweep("study.n_trials=3", "+study.threads=2", "+study.allow_changes=true")
    records = [json.loads((folder / f"trial_{n}" / "record.json").read_text()) for n in range(3)]
    assert [record["threads"] for record in records] == ["3", "3", "2"]
