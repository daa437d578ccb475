"""Resolvers for configuration texts such as ``${name:}``, whatever OmegaConf calls their registration."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from omegaconf import OmegaConf


def register(name: str, function: Callable[..., Any]) -> None:
    """Make ``${name:...}`` call ``function``; a second registration replaces the first.

    OmegaConf 2.4 renames ``register_new_resolver`` to ``register_resolver``, which until 2.3 was another function.
    """
    major, minor = version("omegaconf").split(".")[:2]
    if (int(major), int(minor)) < (2, 4):
        OmegaConf.register_new_resolver(name, function, replace=True)
    else:
        renamed: Any = OmegaConf.register_resolver  # typed as the older function where that one is installed
        renamed(name, function, replace=True)
