"""Every algorithm option of the configuration, composed as the entry points compose it."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.build import plain
from crossweep.nodes import make
from crossweep.paths import version_base

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(p.stem for p in (CONF / "algorithm").glob("*.yaml") if p.stem[0] != "_")


@cache
def settings(name: str, *overrides: str) -> dict[str, Any]:
    """The composed keys of one option."""
    with initialize_config_dir(str(CONF), **version_base()):
        found: dict[str, Any] = plain(compose(overrides=[f"+algorithm={name}", *overrides]))["algorithm"]
    return found


def load(name: str, *overrides: str) -> AbstractAlgorithm:
    """The rule of one option with some keys overridden, as on the command line."""
    made = make(settings(name, *overrides), "algorithm")
    assert isinstance(made, AbstractAlgorithm)
    return made
