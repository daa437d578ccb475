"""Test-beds from the command line: every option composes, builds, runs and has no dead key."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from crossweep.build import build, plain
from crossweep.errors import ConfigError
from crossweep.paths import conf_dir, version_base
from crossweep.testbeds.testbed import TestbedExperiment
from crossweep.training.progress import Silent
from tests.tables import entry

SMALL = {
    "constant_gradient": ["task.samples=100"],
    "correlation_detection": ["task.samples=40", "task.tail=10"],
    "least_squares": ["task.size=4", "task.rows=8", "task.steps=20"],
    "weight_programming": ["task.size=4", "task.samples=100"],
}
NAMES = sorted(p.stem for p in (conf_dir() / "task").glob("*.yaml"))


def experiment(*overrides: str) -> Any:
    with initialize_config_dir(str(conf_dir()), **version_base()):
        # Hydra's own node and resolvers belong to a run; a composed configuration has none
        config = compose("train", overrides=["data=digits", "training=digits", *overrides])
    return build(plain(config))


def test_no_task_is_tried_that_is_none() -> None:
    assert set(SMALL) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_runs(name: str, tmp_path: Path) -> None:
    small = entry(
        SMALL, name, "SMALL in tests/testbeds/test_tasks.py", "overrides that make it run in a moment"
    )
    made = experiment(f"task={name}", "training.finetune.analog_lr=0.07", "algorithm=ttv2", *small)
    assert isinstance(made, TestbedExperiment)
    assert made.bed.lr == 0.07  # the analog rate, as in any other run
    result = made.run(tmp_path, Silent())
    again = experiment(f"task={name}", "training.finetune.analog_lr=0.07", "algorithm=ttv2", *small)
    assert result.state == "complete" and result.metrics
    assert again.run(tmp_path, Silent()).metrics == result.metrics
    assert not list(tmp_path.iterdir())
    keys = {field.name for field in fields(made.bed)}
    from omegaconf import OmegaConf

    assert keys == set(OmegaConf.load(conf_dir() / "task" / f"{name}.yaml")) - {"_target_"}


def test_a_digital_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a rule with tiles, got algorithm=digital"):
        experiment("task=constant_gradient", "algorithm=digital").run(tmp_path, Silent())
