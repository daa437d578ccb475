"""Every pruner of Optuna, reached by a running job through ``report`` and ``should_prune``."""

from typing import Any

import pytest

from crossweep.errors import ConfigError
from crossweep.sweep.study import build_pruner
from crossweep.sweep.trial import TrialHandle, TrialPruned, current_trial, running
from tests.some import some
from tests.sweep.conftest import Sweep, optuna_states, trials_of

GOOD, BAD = 8, 3
PRUNERS = {
    "none": "none",
    "median": "{name: median, n_startup_trials: 2}",
    "percentile": "{name: percentile, percentile: 50.0, n_startup_trials: 2}",
    "patient": "{name: patient, patience: 1, inner: {name: median, n_startup_trials: 2}}",
    "successive_halving": "{name: successive_halving, min_resource: 1, reduction_factor: 2}",
    "hyperband": "{name: hyperband, min_resource: 1, max_resource: 4, reduction_factor: 2}",
    "threshold": "{name: threshold, upper: 1.5}",
    "wilcoxon": "{name: wilcoxon, p_threshold: 0.1}",
}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", some(PRUNERS, "none", "median", "hyperband", "threshold"))
def test_bad_trials_are_pruned_and_good_ones_are_not(name: str, sweep: Sweep) -> None:
    # each good point is better than those before it, so no pruner may end it, in whichever bracket it falls
    good = [f"{{across: {0.2 - 0.02 * i:g}, up: 0.0}}" for i in range(GOOD)]
    bad = [f"{{across: 1.0, up: {1 - 0.02 * i:g}}}" for i in range(BAD)]
    folder = sweep(
        f"study.n_trials={GOOD + BAD}",
        f"study.anchors=[{','.join(good + bad)}]",
        f"+study.pruner={PRUNERS[name]}",
        "steps=8",
        # patience ends where a curve gets worse again
        "curve=-1.0" if name == "patient" else "curve=1.0",
    )
    states = [trial["state"] for trial in trials_of(folder)]
    assert states == ["complete"] * GOOD + ["complete" if name == "none" else "pruned"] * BAD
    assert optuna_states(folder).get("PRUNED", 0) == (0 if name == "none" else BAD)


def test_patience_lets_a_bad_trial_go_on_while_it_improves(sweep: Sweep) -> None:
    points = "{across: 0.2},{across: 0.1},{across: 1.0}"
    spec = "{name: patient, patience: 1, inner: {name: median, n_startup_trials: 2}}"
    folder = sweep("study.n_trials=3", f"study.anchors=[{points}]", f"+study.pruner={spec}", "steps=8")
    assert [trial["state"] for trial in trials_of(folder)] == ["complete"] * 3


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"study\.pruner: one of none, median, .*, got 'axe'"):
        build_pruner("axe")
    with pytest.raises(ConfigError, match=r"study\.pruner\.speed: no such option"):
        build_pruner({"name": "median", "speed": 2})
    with pytest.raises(ConfigError, match="threshold needs lower or upper"):
        build_pruner("threshold")
    with pytest.raises(ConfigError, match=r"study\.pruner: one of .*, got 'axe'"):
        build_pruner({"name": "patient", "inner": "axe"})


class Listener:
    """What a handle tells."""

    number = 4

    def __init__(self) -> None:
        self.told: list[tuple[int, float]] = []

    def report(self, value: float, step: int) -> None:
        self.told.append((step, value))

    def should_prune(self) -> bool:
        return len(self.told) > 2


@pytest.mark.parametrize(("maximize", "sign"), [(False, -1.0), (True, 1.0)])
def test_a_value_is_told_the_way_the_objective_ranks(maximize: bool, sign: float) -> None:
    listener = Listener()
    handle = TrialHandle(listener, maximize=maximize)
    handle.report(0, 0.9, higher_is_better=True)
    handle.report(1, 0.1, higher_is_better=False)
    handle.report(2, 0.5)
    assert listener.told == [(0, sign * 0.9), (1, -sign * 0.1), (2, 0.5)]


def test_the_seeds_of_a_point_continue_each_others_steps() -> None:
    listener = Listener()
    handle = TrialHandle(listener)
    for _ in range(2):
        for epoch in (1, 2):
            handle.report(epoch, 0.0)
        handle.next_replicate()
    assert [step for step, _ in listener.told] == [1, 2, 4, 5]
    assert handle.should_prune()
    with pytest.raises(TrialPruned, match="trial 4 pruned after step 5"):
        handle.prune()


def test_outside_a_study_nothing_listens() -> None:
    outside: Any = current_trial()
    outside.report(0, 1.0)
    assert (outside.active, outside.number, outside.should_prune()) == (False, None, False)
    with running(TrialHandle(Listener())):
        assert current_trial().number == 4
    assert current_trial() is outside
