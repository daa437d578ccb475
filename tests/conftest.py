"""Fixtures for all tests: fresh streams, and a guard on the global random generators."""

import os
import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401  (its import draws from Python's generator: before the guard below)
import torch
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.plugins.config_source import ConfigSource
from omegaconf import DictConfig

from crossweep.rng import Stream
from tests.some import leave_few

if not torch.cuda.is_available():  # asked for when Triton is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

ORDER = ("algorithms", "data", "models", "results", "paper")


@pytest.fixture
def rng() -> Stream:
    """A root stream with a fixed seed."""
    return Stream(2024)


@pytest.fixture(scope="session", autouse=True)
def files_composed_once() -> Iterator[None]:
    """Hydra reads, orders and merges some forty files for every configuration, and tests compose thousands.

    What comes of the project's own files depends only on which of them are chosen; values are set afterwards, as ever.
    Configurations with files of a test's own, or objects in their place, are composed by Hydra alone.
    """
    root = Path(__file__).parents[1]
    ordered: dict[Any, DefaultsList] = {}
    merged: dict[int, bytes] = {}
    ours: set[int] = set()  # lists of defaults above, which live as long as this
    order, merge = (
        config_loader_impl.create_defaults_list,
        ConfigLoaderImpl._compose_config_from_defaults_list,
    )

    def stays(source: ConfigSource) -> bool:
        return source.scheme() != "file" or Path(source.path).is_relative_to(root)

    def order_once(repo: Any, config_name: Any, overrides_list: Any, **how: Any) -> DefaultsList:
        chosen = [
            one for one in overrides_list if one.is_sweep_override() or repo.group_exists(one.key_or_group)
        ]
        names = [one.input_line for one in chosen]
        sources = repo.get_sources()
        if any("given_" in name for name in names) or not all(map(stays, sources)):
            return order(repo, config_name, overrides_list, **how)
        key = config_name, *names, *(source.path for source in sources), *how.values()
        if key not in ordered:
            ordered[key] = order(repo, config_name, overrides_list, **how)
            ours.add(id(ordered[key].defaults))
            return ordered[key]
        return replace(ordered[key], config_overrides=Overrides(repo, overrides_list).config_overrides)

    def merge_once(loader: Any, defaults: Any, repo: Any) -> DictConfig:
        if id(defaults) not in ours:
            return merge(loader, defaults, repo)
        if id(defaults) not in merged:
            merged[id(defaults)] = pickle.dumps(merge(loader, defaults, repo))
        found: DictConfig = pickle.loads(merged[id(defaults)])  # faster than a deep copy
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_loader_impl, "create_defaults_list", order_once)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_once)
        yield


@pytest.fixture(autouse=True)
def global_generators_untouched() -> Iterator[None]:
    """Fail a test in which anything draws from a global generator."""
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    yield
    assert torch.equal(before[0], torch.random.get_rng_state()), "torch's global generator was used"
    assert before[1] == random.getstate(), "Python's global generator was used"
    assert before[2] == np.random.get_state()[1].tolist(), "NumPy's global generator was used"  # noqa: NPY002


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests marked few some cases run by default; tests marked gpu are skipped where no CUDA device is present.

    Processes that share the tests take them in blocks from the front: the first compiles most kernels, so the next ones are
    given tests that need none, or all would compile the same ones at once.
    """
    leave_few(items)
    items.sort(
        key=lambda item: ORDER.index(folder) if (folder := item.path.parent.name) in ORDER else len(ORDER)
    )
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
