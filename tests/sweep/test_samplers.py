"""Every sampler runs a study; the grid loses no cell; the level set goes to the boundary."""

from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest

from crossweep.axis import Axis
from crossweep.errors import ConfigError
from crossweep.gp import GaussianProcess
from crossweep.sweep.samplers import levelset
from crossweep.sweep.samplers.grid import GridSampler, cells_of
from crossweep.sweep.samplers.named import sampler_for
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space
from crossweep.sweep.study import quiet_optuna
from tests.sweep.conftest import Sweep, finished

SQUARE = Space(
    (Axis(name="x", keys=("x",), low=0.0, high=1.0), Axis(name="y", keys=("y",), low=0.0, high=1.0))
)
SWITCHED = Space(
    (
        Axis(name="kind", keys=("kind",), choices=("a", "b")),
        Axis(name="depth", keys=("depth",), low=1, high=3, integer=True, when={"kind": ("b",)}),
    )
)


def ask(study: optuna.Study, chooser: Any, space: Space) -> tuple[optuna.Trial, dict[str, Any]]:
    study.sampler = chooser(len(study.get_trials(deepcopy=False)))
    trial = study.ask()
    return trial, space.suggest(trial)


@pytest.mark.few(5)
@pytest.mark.parametrize(
    "name", ["levelset", "qmc", "grid", "random", "tpe", "gp", "cmaes", "nsgaii", "nsgaiii"]
)
def test_every_sampler_runs_and_repeats_no_point(name: str, sweep: Sweep) -> None:
    folder = sweep("study.n_trials=5", f"study.sampler={name}")
    points = {tuple(trial["params"].items()) for trial in finished(folder)}
    assert len(points) == 5


def test_unknown_samplers_and_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"study\.sampler: one of .*, got 'magic'"):
        sampler_for(Settings(sampler="magic"), SQUARE)
    with pytest.raises(ConfigError, match=r"study\.sampler\.speed: no such option"):
        sampler_for(Settings(sampler={"name": "levelset", "speed": 3}), SQUARE)
    with pytest.raises(ConfigError, match="categorical"):
        sampler_for(Settings(sampler="cmaes"), SWITCHED)


def test_grid_gives_every_cell_once_whatever_becomes_of_trials() -> None:
    quiet_optuna()
    study = optuna.create_study()
    sampler = GridSampler(SWITCHED, shuffle=True, seed=1)
    seen: Counter[tuple[Any, ...]] = Counter()
    for number in range(20):
        if not study.get_trials(
            deepcopy=False, states=(optuna.trial.TrialState.WAITING,)
        ) and sampler.exhausted(study):
            break
        trial, values = ask(study, lambda _: sampler, SWITCHED)
        if number % 3 == 1:  # a dead worker: told and queued again, as the ledger does
            study.enqueue_trial(values, user_attrs={"queued": values, "retry_of": trial.number})
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, 0.0)
        seen[tuple(sorted(values.items()))] += 1
    assert (
        set(seen)
        == set(cells_of(SWITCHED))
        == {
            (("kind", "a"),),
            *((("depth", depth), ("kind", "b")) for depth in (1, 2, 3)),
        }
    )
    assert set(seen.values()) == {1}


def test_quasi_random_points_are_balanced_from_the_first_trial() -> None:
    quiet_optuna()
    study = optuna.create_study()
    chooser = sampler_for(Settings(sampler="qmc"), SQUARE)
    points = np.array([list(ask(study, chooser, SQUARE)[1].values()) for _ in range(8)])
    for column in points.T:  # one point in each eighth: a property of the sequence that random points lack
        assert sorted((column * 8).astype(int)) == list(range(8))


def test_running_trials_push_the_level_set_sampler_elsewhere() -> None:
    quiet_optuna()
    study = optuna.create_study()
    settings = Settings(sampler={"name": "levelset", "levels": [0.5], "explore_every": 0, "stop_below": None})
    chooser = sampler_for(settings, SQUARE)
    for _ in range(12):
        trial, values = ask(study, chooser, SQUARE)
        study.tell(trial, values["x"])
    batch = np.array([list(ask(study, chooser, SQUARE)[1].values()) for _ in range(4)])
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(batch) for b in batch[:i]]
    assert min(gaps) > 0.02
    assert np.abs(batch[:, 0] - 0.5).mean() < 0.2


def test_the_level_set_sampler_never_asks_the_same_twice() -> None:
    # the level is crossed in one corner only, and noise keeps the model unsure there
    quiet_optuna()
    settings = Settings(sampler={"name": "levelset", "levels": [1.7], "explore_every": 0, "stop_below": None})
    chooser, study = sampler_for(settings, SQUARE), optuna.create_study()
    rng, points = np.random.default_rng(0), []
    for _ in range(30):
        trial, values = ask(study, chooser, SQUARE)
        points.append([values["x"], values["y"]])
        study.tell(trial, values["x"] + values["y"] + 0.2 * rng.standard_normal())
    start = 8  # space-filling points
    gaps = np.linalg.norm(np.subtract.outer(points, points).diagonal(axis1=1, axis2=3), axis=-1)
    gaps[np.diag_indices(len(points))] = 1.0
    assert gaps[start:].min() >= 0.02
    assert np.sum(np.array(points)[start:].sum(1) > 1.4) > 10, "it does go there"


def told(study: optuna.Study, x: float, values: list[float]) -> None:
    """Add a finished trial at ``(x, x)`` with one value per seed."""
    study.add_trial(
        optuna.create_trial(
            params={"x": x, "y": x},
            distributions=SQUARE.distributions(),
            value=float(np.mean(values)),
            user_attrs={"seed_values": [values]},
        )
    )


@pytest.mark.parametrize("warp", ["none", "asinh"])
def test_the_level_set_model_knows_how_sure_each_mean_is(warp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variances of single points are drawn towards the pooled one; a warp stretches them by its slope."""
    quiet_optuna()
    study, given = optuna.create_study(), []
    fit = GaussianProcess.fit
    monkeypatch.setattr(
        GaussianProcess, "fit", lambda *words, **more: given.append(words) or fit(*words, **more)
    )
    options = {"name": "levelset", "levels": [0.5], "n_startup": 2, "warp": warp, "width": 2.0}
    chooser = sampler_for(Settings(sampler=options), SQUARE)
    seeds = [[0.0, 1.0], [4.0, 4.0, 4.0], [1.0, 2.0, 2.0, 3.0]]
    for i, values in enumerate(seeds):
        told(study, 0.2 + 0.3 * i, values)
    ask(study, chooser, SQUARE)
    (_, y, noise) = given[0]
    freedom = np.array([1, 2, 3])
    single = np.array([0.5, 0.0, 2 / 3])
    pooled = (freedom * single).sum() / 6
    expected = (4 * pooled + freedom * single) / (4 + freedom) / (freedom + 1)
    means = np.array([0.5, 4.0, 2.0])
    if warp == "asinh":
        step = 1e-6
        slope = (np.arcsinh((means + step - 0.5) / 2) - np.arcsinh((means - 0.5) / 2)) / step
        expected, means = expected * slope**2, np.arcsinh((means - 0.5) / 2)
    assert y == pytest.approx(means)
    assert noise == pytest.approx(expected, rel=1e-4)


def test_of_many_points_the_level_set_model_keeps_those_nearest_a_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet_optuna()
    study, given = optuna.create_study(), []
    fit = GaussianProcess.fit
    monkeypatch.setattr(
        GaussianProcess, "fit", lambda *words, **more: given.append(words) or fit(*words, **more)
    )
    monkeypatch.setattr(levelset, "MOST_POINTS", 4)
    chooser = sampler_for(Settings(sampler={"name": "levelset", "levels": [2.0, 7.1]}), SQUARE)
    for i, value in enumerate((9.0, 2.1, 5.0, 7.0, 0.0, 1.9, 7.3, 20.0)):
        told(study, 0.1 * i, [value])
    ask(study, chooser, SQUARE)
    assert sorted(given[0][1]) == [1.9, 2.1, 7.0, 7.3]


@pytest.mark.parametrize("acquisition", ["straddle", "randomised"])
def test_the_weight_of_ignorance_is_fixed_or_drawn_anew(
    acquisition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_optuna()
    study, seen = optuna.create_study(), []
    scores = levelset.LevelSetSampler._scores
    monkeypatch.setattr(
        levelset.LevelSetSampler, "_scores", lambda *words: seen.append(words[-1]) or scores(*words)
    )
    options = {"name": "levelset", "levels": [0.5], "n_startup": 2, "acquisition": acquisition}
    chooser = sampler_for(Settings(sampler=options), SQUARE)
    for x in (0.1, 0.4, 0.6, 0.9):
        told(study, x, [x])
    for _ in range(3):
        ask(study, chooser, SQUARE)
    drawn = set(seen)
    assert drawn == {1.96} if acquisition == "straddle" else len(drawn) == 3 and min(drawn) > 0


def test_every_level_counts() -> None:
    """The response is x along a diagonal, measured beside both levels and beside the middle between them."""
    quiet_optuna()
    study = optuna.create_study()
    for x in np.arange(0.05, 1.0, 0.1):
        told(study, x, [x])
    sampler: Any = sampler_for(Settings(sampler={"name": "levelset", "levels": [0.3, 0.7]}), SQUARE)(0)
    places = np.array([[x, x] for x in (0.3, 0.5, 0.7)])
    first, middle, second = sampler._scores(sampler._model(study.get_trials()), places, levelset.KAPPA)
    assert middle < min(first, second) - 0.1


def test_a_map_is_not_done_before_its_least_number_of_trials() -> None:
    quiet_optuna()
    study = optuna.create_study()
    options = {"name": "levelset", "levels": [0.5], "stop_below": 1.0, "min_trials": 5}
    sampler = sampler_for(Settings(sampler=options), SQUARE)(0)
    done = []
    for x in (0.0, 0.2, 0.45, 0.55, 0.8, 1.0):
        told(study, x, [x])
        done.append(sampler.exhausted(study) is not None)  # type: ignore[attr-defined]
    assert done == [False] * 4 + [True] * 2


def test_the_level_set_sampler_explores_now_and_then() -> None:
    """Every fourth point is the next one of the space-filling sequence, wherever the level lies."""
    quiet_optuna()

    def points(**options: Any) -> np.ndarray:
        settings = Settings(sampler={"name": "levelset", "levels": [0.5], "stop_below": None, **options})
        study, chooser, found = optuna.create_study(), sampler_for(settings, SQUARE), []
        for _ in range(16):
            trial, values = ask(study, chooser, SQUARE)
            found.append(list(values.values()))
            study.tell(trial, values["x"])
        return np.array(found)

    filling = points(n_startup=16)
    same = [
        (points(n_startup=4, explore_every=every) == filling).all(1).nonzero()[0].tolist() for every in (4, 0)
    ]
    assert same == [[0, 1, 2, 3, 7, 11, 15], [0, 1, 2, 3]]


def test_the_level_set_study_ends_when_the_boundary_is_known() -> None:
    quiet_optuna()
    study = optuna.create_study()
    settings = Settings(sampler={"name": "levelset", "levels": [0.5], "stop_below": 0.05, "min_trials": 12})
    chooser = sampler_for(settings, SQUARE)
    for _ in range(60):
        if chooser(0).exhausted(study):  # type: ignore[attr-defined]
            break
        trial, values = ask(study, chooser, SQUARE)
        study.tell(trial, values["x"] + 0.3 * values["y"])
    known = chooser(0).boundary(study)  # type: ignore[attr-defined]
    assert known.ambiguous < 0.05
    assert len(study.trials) < 60
    # x + 0.3 y > 0.5 on 65 % of the square, measured at 1024 points: the line passes about 32 of their cells,
    # each of which counts wrongly by up to half a cell, so 3 sqrt(32 / 12) / 1024 = 0.005
    assert abs(known.above - 0.65) < known.ambiguous + 0.005
