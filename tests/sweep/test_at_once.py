"""Several trials at once in one process: each has its folder, its entry, its own failures."""

import math
import signal
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import optuna
import pytest

from crossweep.axis import Axis
from crossweep.errors import ConfigError
from crossweep.study_folder import lease_file
from crossweep.sweep import ledger as ledgers
from crossweep.sweep.ledger import Claim, Ledger, Stop
from crossweep.sweep.samplers.levelset import APART
from crossweep.sweep.samplers.named import sampler_for
from crossweep.sweep.settings import Settings, from_mappings
from crossweep.sweep.signals import Stopped, TimedOut
from crossweep.sweep.space import Space
from crossweep.sweep.study import quiet_optuna
from crossweep.sweep.trial import TrialHandle
from tests.sweep.app import main as app
from tests.sweep.conftest import Sweep, finished, optuna_states, trials_of
from tests.sweep.test_robustness import kill, ledger_of

Together = Callable[[Sequence[Any], Sequence[TrialHandle]], list[Any]]
FOUR = ("+study.at_once=4", "study.n_trials=10")


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Callable[[Together], list[int]]:
    """Let the program run several trials at once by a function; returns how many each company had."""

    def install(function: Together) -> list[int]:
        sizes: list[int] = []

        def noted(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
            sizes.append(len(configs))
            return function(configs, trials)

        monkeypatch.setattr(app.run, "together", noted, raising=False)
        return sizes

    return install


def lines(path: Path) -> list[str]:
    """Of a file that Hydra wrote, without what the two studies differ in."""
    return [
        line for line in path.read_text().splitlines() if "at_once" not in line and "sweep.dir" not in line
    ]


def test_trials_at_once_leave_what_single_ones_leave(
    sweep: Sweep, together: Callable[[Together], list[int]]
) -> None:
    single = sweep("study.n_trials=10", "hydra.sweep.dir=multirun/single").parent / "single"
    sizes = together(app.together)
    folder = sweep(*FOUR)
    assert sizes == [4, 4, 2]
    assert optuna_states(folder) == {"COMPLETE": 10}
    dropped = ("started", "finished", "metrics", "study")
    assert [{k: v for k, v in t.items() if k not in dropped} for t in trials_of(folder)] == [
        {k: v for k, v in t.items() if k not in dropped} for t in trials_of(single)
    ]
    for number in range(10):
        here, there = (place / f"trial_{number}" for place in (folder, single))
        assert sorted(p.name for p in here.iterdir()) == [
            *sorted(
                {p.name for p in there.iterdir()} - {"main.log"}
                | ({"main.log"} if number % 4 == 0 else set())
            )
        ]
        for name in ("config", "overrides"):
            assert lines(here / ".hydra" / f"{name}.yaml") == lines(there / ".hydra" / f"{name}.yaml")
    assert not list((folder / ".leases").glob("*.json"))


def test_seeds_and_points_go_together(sweep: Sweep, together: Callable[[Together], list[int]]) -> None:
    sizes = together(app.together)
    seeds = ("study.seeds=3", "noise=0.1")
    folder = sweep("+study.at_once=7", "study.n_trials=3", *seeds)
    assert sizes == [6, 3]  # two points of three seeds, and the last one
    assert all(len({*trial["seed_values"][0]}) == 3 for trial in trials_of(folder))
    assert len(list(folder.glob("trial_*/seed_*/record.json"))) == 9
    sizes.clear()
    other = ("study.name=few", "hydra.sweep.dir=multirun/few")
    sweep("+study.at_once=2", "study.n_trials=2", *seeds, *other)
    assert sizes == [2, 2]  # two seeds and then the third alone, twice


def test_one_that_fails_costs_the_others_nothing(
    sweep: Sweep, together: Callable[[Together], list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
        if any(trial.number == 2 for trial in trials):
            raise RuntimeError("a bad one among them")
        return app.together(configs, trials)

    together(fails)
    folder = sweep(*FOUR)
    assert optuna_states(folder) == {"COMPLETE": 10}  # alone it is well
    assert not any(trial["error"] for trial in trials_of(folder))


def test_one_that_fails_alone_too_is_the_one_that_failed(
    sweep: Sweep, together: Callable[[Together], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one = app._run

    def fails(cfg: Any, folder: Path, *rest: Any) -> Any:
        if folder.name == "trial_2":
            raise RuntimeError("bad point")
        return run_one(cfg, folder, *rest)

    monkeypatch.setattr(app, "_run", fails)
    sizes = together(app.together)
    folder = sweep(*FOUR)
    assert sizes == [4, 4, 3]
    failed = [trial for trial in trials_of(folder) if trial["state"] == "failed"]
    assert [trial["number"] for trial in failed] == [2] and "bad point" in failed[0]["error"]
    assert len(finished(folder)) == 10 and optuna_states(folder) == {"COMPLETE": 10, "FAIL": 1}


def test_who_is_stopped_puts_all_back(sweep: Sweep, together: Callable[[Together], list[int]]) -> None:
    def stopped(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
        raise Stopped(signal.SIGTERM)

    together(stopped)
    with pytest.raises(SystemExit):
        sweep(*FOUR)
    folder = Path("multirun/map").resolve()
    assert optuna_states(folder) == {"FAIL": 4, "WAITING": 4}
    points = [trial["params"] for trial in trials_of(folder)]
    sizes = together(app.together)
    sweep(*FOUR)
    assert sizes == [4, 4, 2]
    assert all(point in [trial["params"] for trial in finished(folder)] for point in points)


def test_points_that_hung_together_run_alone(sweep: Sweep, together: Callable[[Together], list[int]]) -> None:
    def hangs(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
        if any(trial.number == 1 for trial in trials):
            raise TimedOut
        return app.together(configs, trials)

    sizes = together(hangs)
    folder = sweep(*FOUR, "+study.trial_timeout=1h")
    assert sizes == [4, 4, 2]  # the four that were lost came one by one in between
    assert optuna_states(folder) == {"COMPLETE": 10, "FAIL": 4}
    assert [trial["retry_of"] for trial in trials_of(folder)][4:8] == [0, 1, 2, 3]


def test_pruning_looks_at_each_trial(sweep: Sweep, together: Callable[[Together], list[int]]) -> None:
    def judged(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
        found = []
        for trial in trials:
            loss = float(trial.number in (1, 2))
            trial.report(0, loss)
            state = "pruned" if trial.should_prune() else "complete"
            found.append({"loss": loss, "state": state})
        return found

    sizes = together(judged)
    folder = sweep("+study.at_once=4", "study.n_trials=4", "+study.pruner={name: threshold, upper: 0.5}")
    assert sizes == [4]
    assert [trial["state"] for trial in trials_of(folder)] == ["complete", "pruned", "pruned", "complete"]


def by_shape(configs: Sequence[Any]) -> list[list[int]]:
    """Who has the same shape goes together."""
    shapes = [config.shape.name for config in configs]
    return [[i for i, shape in enumerate(shapes) if shape == one] for one in dict.fromkeys(shapes)]


MIXED = (
    "+study.at_once=4",
    "study.n_trials=8",
    "+study.params.shape='choice(round,square)'",
    "study.sampler=random",
)


def test_companies_of_a_claim_run_one_after_the_other(
    sweep: Sweep, together: Callable[[Together], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.run, "groups", by_shape, raising=False)
    seen: list[set[str]] = []

    def noted(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
        seen.append({config.shape.name for config in configs})
        return app.together(configs, trials)

    together(noted)
    folder = sweep(*MIXED)
    assert optuna_states(folder) == {"COMPLETE": 8}
    assert seen and all(len(shapes) == 1 for shapes in seen)  # who is alone needs no company
    assert not list((folder / ".leases").glob("*.json"))


def test_companies_that_wait_go_back_when_their_worker_is_stopped(
    sweep: Sweep, together: Callable[[Together], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.run, "groups", lambda configs: [[0, 1], [*range(2, len(configs))]], raising=False)

    def stopped(configs: Sequence[Any], trials: Sequence[TrialHandle]) -> list[Any]:
        if len(sizes) == 2:
            raise Stopped(signal.SIGTERM)
        return app.together(configs, trials)

    sizes = together(stopped)
    words = ("+study.at_once=4", "study.n_trials=8")
    with pytest.raises(SystemExit):
        sweep(*words)
    folder = Path("multirun/map").resolve()
    assert sizes == [2, 2] and optuna_states(folder) == {"COMPLETE": 2, "FAIL": 2, "WAITING": 2}
    sizes = together(app.together)
    sweep(*words)
    assert sizes == [2, 2, 2]
    assert len(finished(folder)) == 8


def test_companies_that_wait_do_not_begin_when_time_is_up(
    sweep: Sweep, together: Callable[[Together], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.run, "groups", lambda configs: [[0, 1], [2, 3]], raising=False)
    over = {0: None, 1: Stop(ledgers.Reason.TIME_IS_UP)}
    sizes = together(app.together)
    monkeypatch.setattr(Ledger, "_ended", lambda self, tally: over[min(len(sizes), 1)])
    folder = sweep("+study.at_once=4", "study.n_trials=8")
    assert sizes == [2] and optuna_states(folder) == {"COMPLETE": 2, "FAIL": 2, "WAITING": 2}
    assert not list((folder / ".leases").glob("*.json"))


# -- the ledger -----------------------------------------------------------------------------------------------------


def several(ledger: Ledger, most: int) -> list[Claim]:
    claims = ledger.claim_several(most)
    assert not isinstance(claims, Stop)
    return claims


def test_claims_keep_to_the_target_and_are_signed(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, n_trials=5)
    claims = several(ledger, 3)
    assert [claim.number for claim in claims] == [0, 1, 2]
    assert all(lease_file(tmp_path, claim.number).exists() for claim in claims)
    assert [claim.number for claim in several(ledger, 3)] == [3, 4]
    assert isinstance(ledger.claim_several(3), Stop)


@pytest.mark.parametrize(("workers", "sizes"), [(1, [8, 8, 4]), (2, [8, 8, 4]), (4, [5, 5, 5, 5])])
def test_workers_share_what_is_left(tmp_path: Path, workers: int, sizes: list[int]) -> None:
    ledger = ledger_of(tmp_path, n_trials=20, workers=workers)
    ledger.study.sampler = optuna.samplers.RandomSampler(seed=0)
    assert [len(several(ledger, 8)) for _ in sizes] == sizes


def test_a_point_whose_worker_died_comes_alone(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    lost = several(ledger, 3)
    ledger.put_back(lost[0], "stopped")
    for claim in lost[1:]:
        kill(ledger, claim)
    ledger.reap()
    again = [several(ledger, 4) for _ in range(4)]
    # what was put back is suspected of nothing
    assert [[claim.trial.user_attrs.get("retry_of") for claim in claims] for claims in again] == [
        [0], [1], [2], [None] * 4,
    ]  # fmt: skip


def test_where_no_point_can_be_chosen_the_earlier_ones_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(tmp_path)
    suggest, asked = Space.suggest, []

    def breaks(space: Space, trial: Any) -> Any:
        asked.append(trial.number)
        if len(asked) == 3:
            raise OSError(28, "No space left on device")
        return suggest(space, trial)

    monkeypatch.setattr(Space, "suggest", breaks)
    with pytest.raises(OSError, match="No space"):
        ledger.claim_several(4)
    states = [trial.state.name for trial in ledger.trials()]
    assert states == ["FAIL"] * 3 + ["WAITING"] * 3
    assert ledgers.count_trials(ledger.trials()).failed == 0
    assert len(several(ledger, 3)) == 3


# -- samplers -------------------------------------------------------------------------------------------------------

SQUARE = Space(tuple(Axis(name=name, keys=(name,), low=0.0, high=1.0) for name in "xy"))


def batches(folder: Path, sampler: str, n_trials: int, most: int) -> list[list[dict[str, float]]]:
    """Points of each batch of a study whose loss is the distance from a corner."""
    quiet_optuna()
    settings = Settings(
        sampler=sampler, n_trials=n_trials, budget=0.7, objectives={"loss": "minimize"}, anchors=[]
    )
    study = optuna.create_study(study_name="s")
    ledger = Ledger(study, folder, settings, SQUARE, sampler_for=sampler_for(settings, SQUARE))
    found = []
    while not isinstance(claims := ledger.claim_several(most), Stop):
        found.append([dict(claim.values) for claim in claims])
        for claim in claims:
            study.tell(claim.number, math.hypot(*claim.values.values()))
    return found


@pytest.mark.parametrize("sampler", ["levelset", "qmc", "random", "tpe", "nsgaii"])
def test_a_batch_holds_distinct_points(sampler: str, tmp_path: Path) -> None:
    found = batches(tmp_path, sampler, 32, 8)
    points = [point for batch in found for point in batch]
    assert len(points) == 32
    assert len({tuple(point.values()) for point in points}) == 32
    if sampler in ("qmc", "random"):
        assert [len(batch) for batch in found] == [8] * 4
        return
    # first what fills the space, then half of what is known at a time
    assert [len(batch) for batch in found] == [8, 4, 6, 8, 6]
    if sampler != "levelset":
        return
    for batch in found[1:]:
        for one, other in combinations(batch, 2):
            assert math.dist(one.values(), other.values()) >= APART
    late = [math.hypot(*point.values()) for batch in found[2:] for point in batch]
    assert sum(abs(value - 0.7) < 0.25 for value in late) > 0.7 * len(late)


def test_a_gaussian_process_chooses_one_point_at_a_time(tmp_path: Path) -> None:
    assert [len(batch) for batch in batches(tmp_path, "gp", 14, 8)] == [8, 2, 1, 1, 1, 1]


def test_a_grid_is_shared(tmp_path: Path) -> None:
    quiet_optuna()
    space = Space(tuple(Axis(name=name, keys=(name,), low=0.0, high=1.0, points=4) for name in "xy"))
    settings = Settings(sampler="grid", n_trials=None, workers=2)
    study = optuna.create_study(study_name="s")
    ledger = Ledger(study, tmp_path, settings, space, sampler_for=sampler_for(settings, space))
    assert [len(several(ledger, 10)) for _ in range(2)] == [8, 8]
    assert isinstance(ledger.claim_several(10), Stop)


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"study\.at_once: must be .*'auto', got 0"):
        from_mappings({"at_once": 0})
