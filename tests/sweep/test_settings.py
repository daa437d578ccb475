"""What a study accepts: settings, durations, bounds, axes; and a mistake is one line that names key and value."""

import math
from dataclasses import MISSING, fields
from typing import Any

import pytest
import yaml

from crossweep.axis import Axis
from crossweep.errors import ConfigError
from crossweep.paths import conf_dir
from crossweep.sweep.axes import contains, distribution, from_yaml, grid, literal, overrides
from crossweep.sweep.settings import Settings, from_mappings, parse_bound, seconds

# what the studies of this package want and a study of another program cannot have or need not
DELIBERATE = {
    *("name", "seed_keys", "objectives", "anchors", "sampler", "workers", "report"),
}


def default(name: str) -> Any:
    item = next(item for item in fields(Settings) if item.name == name)
    value = item.default if item.default_factory is MISSING else item.default_factory()
    return list(value) if isinstance(value, tuple) else value


def test_the_yaml_lists_every_setting_with_its_default() -> None:
    base = yaml.safe_load((conf_dir() / "study" / "_base.yaml").read_text())["study"]
    assert base.keys() == {item.name for item in fields(Settings)}
    assert {name for name, value in base.items() if value != default(name)} == DELIBERATE
    assert from_mappings({**base, "name": "s"}).objectives == {"error_increase": "minimize"}


def test_later_layers_win() -> None:
    settings = from_mappings({"workers": 3, "budget": 2.0, "seeds": 3}, {"workers": 4, "seeds": None})
    assert (settings.workers, settings.budget, settings.seeds) == (4, 2.0, None)
    assert from_mappings({"n_trials": None}).n_trials is None


def test_seeds_are_a_list_or_a_number_of_them() -> None:
    assert Settings(seeds=3, seed_keys=("seed",)).seed_list == (0, 1, 2)
    assert Settings(seeds=[4, 7], seed_keys=("seed",)).seed_list == (4, 7)
    assert Settings().seed_list == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_trials": 0}, "study.n_trials: must be a whole number >= 1 or null, got 0"),
        ({"resume": "maybe"}, "study.resume: must be one of 'auto', 'require', 'never', got 'maybe'"),
        ({"progress": "loud"}, "study.progress: must be one of 'auto', 'plain', 'none', got 'loud'"),
        ({"objectives": []}, "study.objectives: {metric: minimize | maximize}"),
        ({"objectives": [{"loss": "smallest"}]}, "study.objectives: {metric: minimize | maximize}"),
        ({"seeds": 2}, r"study.seed_keys: name the keys that receive the seeds (0, 1)"),
        ({"workers": "many"}, "study.workers: must be a whole number in [1, 10000] or 'auto', got 'many'"),
        ({"max_failures": -1}, "study.max_failures: must be a whole number >= 0, got -1"),
        ({"max_retries": -1}, "study.max_retries: must be a whole number >= 0, got -1"),
        ({"lease_timeout": 0.0}, "study.lease_timeout: must be a number > 0, got 0.0"),
        ({"trial_timeout": "soon"}, "study.trial_timeout: positive seconds or a text"),
        (
            {"time_budget": -3},
            "study.time_budget: must be a number > 0 or a text that is not empty or null, got -3",
        ),
        ({"constraints": ["loss < 3"]}, 'study.constraints: "metric <= bound" or "metric >= bound"'),
        ({"constraints": "loss <= 3"}, "study.constraints: must be a list of texts, got 'loss <= 3'"),
        ({"params": ["x"]}, "study.params: must be a mapping, got ['x']"),
        ({"max_failures": True}, "study.max_failures: must be a whole number >= 0, got True"),
        ({"dry_run": 1}, "study.dry_run: must be true or false, got 1"),
        ({"n_trials": 1.5}, "study.n_trials: must be a whole number"),
        ({"workers": 0}, "study.workers: must be a whole number in [1, 10000]"),
        ({"workers": None}, "study.workers: must be a whole number in [1, 10000]"),
        ({"seeds": [0, 0]}, "study.seeds: must be a list of at least 1 different whole numbers"),
        ({"seeds": 0}, "study.seeds: must be"),
        ({"budget": math.nan}, "study.budget: must be a number, finite"),
        ({"gpus": [-1]}, "study.gpus: must be a list of at least 1 different whole numbers >= 0"),
        ({"trials_per_process": 0}, "study.trials_per_process: must be a whole number >= 1 or null, got 0"),
        (
            {"trial_timeout": math.inf},
            "study.trial_timeout: must be a number > 0 or a text that is not empty or null",
        ),
        ({"constraints": ["loss <= 1e999"]}, 'study.constraints: "metric <= bound"'),
        ({"smpler": "qmc"}, "study.smpler: no such setting, did you mean sampler?"),
        ({"zzz": 1}, "study.zzz: no such setting; known are name, n_trials"),
    ],
)
def test_a_wrong_setting_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mappings(given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [(90, 90.0), ("90", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0), (None, None)],
)
def test_durations(text: Any, value: float | None) -> None:
    assert seconds(text, "key") == value


@pytest.mark.parametrize("text", ["", "m", "0s", "-1s", "1.2.3s", "5 weeks", "."])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match="key: positive seconds"):
        seconds(text, "key")


def test_bounds_are_feasible_at_and_below_zero() -> None:
    for text, value, feasible in (
        ("a.b <= -1e-3", -0.002, True),
        ("a.b>=2", 1.9, False),
        ("a.b>=2", 2, True),
    ):
        name, sign, bound = parse_bound(text)
        assert name == "a.b"
        assert (sign * (value - bound) <= 0) is feasible


# -- axes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ({"low": 0.0, "high": 1.0, "points": 3}, [0.0, 0.5, 1.0]),
        ({"low": 1.0, "high": 100.0, "scale": "log", "points": 3}, [1.0, 10.0, 100.0]),
        ({"low": 0.0, "high": 0.3, "step": 0.1}, [0.0, 0.1, 0.2, 0.3]),
        ({"low": 1, "high": 3, "int": True}, [1, 2, 3]),
        ({"low": 10, "high": 1000, "int": True, "scale": "log", "points": 3}, [10, 100, 1000]),
        ({"choices": ["a", [1, 2], {"k": 1}]}, ["a", "[1,2]", "{k:1}"]),
    ],
)
def test_grids_lie_on_their_axis(axis: dict[str, Any], values: list[Any]) -> None:
    made = from_yaml("x", axis)
    assert grid(made) == (pytest.approx(values) if isinstance(values[0], float) else values)
    space = distribution(made)
    for value in grid(made):
        assert contains(made, value)
        assert space._contains(space.to_internal_repr(value))


def test_one_axis_sets_all_its_keys() -> None:
    axis = from_yaml("x", {"keys": ["a.b", "c"], "low": 0.0, "high": 1.0})
    assert overrides(axis, 0.25) == ["a.b=0.25", "c=0.25"]
    assert from_yaml("a", {"low": 0, "high": 1}).keys == ("a",)
    assert overrides(Axis(name="x", keys=("x",), low=0, high=1, add=True), 1) == ["+x=1"]


@pytest.mark.parametrize(
    "value",
    [0.1, 1e-300, -3, True, None, "plain", "true", "1e5", "null", "with space", "it's", "a\\b", "", "1_0"],
)
def test_values_survive_hydras_grammar(value: Any) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import QuotedString

    parsed = OverridesParser.create().parse_override(f"key={literal(value)}").value()
    parsed = parsed.text if isinstance(parsed, QuotedString) else parsed
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "axis.x: low < high must hold, got low=1.0, high=1.0"),
        ({"low": 1.0}, "axis.x: low < high must hold, got low=1.0, high=None"),
        ({"low": 0.0, "high": 1.0, "scale": "log"}, "axis.x.low: positive on a log scale, got 0.0"),
        (
            {"low": 0.0, "high": 1.0, "scale": "cubic"},
            "axis.x.scale: must be one of 'linear', 'log', got 'cubic'",
        ),
        ({"low": 0.0, "high": 1.0, "step": 0.0}, "axis.x.step: must be a number > 0 or null, got 0.0"),
        (
            {"low": 0.0, "high": 1.0, "points": 1},
            "axis.x.points: must be a whole number in [2, 10000] or a list of at least 1 numbers, got 1",
        ),
        ({"low": 0.0, "high": math.inf}, "axis.x.high: must be a number or null, finite"),
        ({"low": 0, "high": 1, "int": "maybe"}, "axis.x.int: must be true or false, got 'maybe'"),
        (
            {"low": 0, "high": 1, "keys": [1]},
            "axis.x.keys: must be a list of texts or a text that is not empty, got [1]",
        ),
        ({"choices": []}, "axis.x.choices: at least one value"),
        ({"keys": [], "low": 0.0, "high": 1.0}, "axis.x.keys: at least one configuration key"),
        ({"low": 0.0, "high": 1.0, "hihg": 2.0}, "axis.x.hihg: no such entry, did you mean high?"),
    ],
)
def test_a_wrong_axis_is_one_line(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_yaml("x", node)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
