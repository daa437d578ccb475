"""``--help`` says of every key what the check of its value says; that no key lacks it is in the table of bad values."""

import sys
from collections.abc import Iterator

import pytest
from hydra.core.global_hydra import GlobalHydra

from crossweep import train
from crossweep.help import WIDTH, keys, text
from tests.runs import configuration


@pytest.fixture
def no_hydra() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.mark.usefixtures("no_hydra")
def test_the_command_prints_value_rule_and_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["device=measured", "data=cifar", "device@device.fast=ideal"]  # keys that must be given may lack
    monkeypatch.setattr(sys, "argv", ["crossweep-train", "--help", *words])
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert not ended.value.code
    said = capsys.readouterr().out
    groups = said.partition("== Values")[0]
    assert "soft_bounds" in groups and "task:           constant_gradient, " in groups and "Examples:" in said
    assert " _" not in groups and "hydra" not in groups and max(map(len, groups.splitlines())) <= WIDTH
    values = said.partition("== Values")[2].partition("Examples:")[0].splitlines()
    assert max(map(len, values)) <= WIDTH
    assert (
        "  omega: 0.6                        [1]           share of the mean device range that the ..."
        in values
    )
    assert any(
        line.startswith("  auto_granularity: ${oc.select:training.auto_granularity,300.0}") for line in values
    )
    assert any(
        line.startswith("    dw_min_dtod: ") and line.endswith("device-to-device spread of the step")
        for line in values
    )


def test_every_key_has_one_line_with_its_unit_and_the_words_it_takes() -> None:
    made = configuration("training.baseline=[sgd]")
    lines = text(made).splitlines()
    assert len(lines) == len(keys(made))
    (skew,) = (line for line in lines if line.startswith("  skew:"))
    assert "[w_max] " in skew and skew.endswith("mean of the visible symmetry point")
    assert any(line.startswith("  level: count") and "pulse, count, mean: pulse" in line for line in lines)


def test_a_study_explains_its_own_keys() -> None:
    found = {key.name: key for key in keys({"study": {"n_trials": 3}, "axis": {"skew": {"low": 0.0}}})}
    assert found["study.n_trials"].rule == "a whole number >= 1 or null"
    assert found["axis.skew.low"].meaning.startswith("range [unit]")


def test_what_a_recipe_passes_on_is_explained_too() -> None:
    found = {key.name: key for key in keys(configuration("device=soft_bounds_pmax", "model=mlp"))}
    assert found["device.p_max"].rule == "a number > 0"
    assert found["device.slope_up_dtod"].meaning
