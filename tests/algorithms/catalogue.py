"""Every algorithm option of the configuration, composed as the entry points compose it."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.paths import version_base

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(p.stem for p in (CONF / "algorithm").glob("*.yaml") if p.stem[0] != "_")


@cache
def settings(name: str, *overrides: str) -> dict[str, Any]:
    """The composed keys of one option."""
    with initialize_config_dir(str(CONF), **version_base()):
        config = compose(overrides=[f"+algorithm={name}", *overrides])
    content = OmegaConf.to_container(config.algorithm)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def load(name: str, *overrides: str) -> AbstractAlgorithm:
    """The rule of one option with some keys overridden, as on the command line."""
    made = instantiate(settings(name, *overrides), _convert_="all")
    assert isinstance(made, AbstractAlgorithm)
    return made
