"""Fixtures for all tests: fresh streams, and a guard on the global random generators."""

import os
import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401  (its import draws from Python's generator: before the guard below)
import torch
from omegaconf import OmegaConf

from crossweep.rng import Stream

if not torch.cuda.is_available():  # asked for when Triton is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture
def rng() -> Stream:
    """A root stream with a fixed seed."""
    return Stream(2024)


@pytest.fixture(scope="session", autouse=True)
def each_file_parsed_once() -> Iterator[None]:
    """Hydra parses a hundred files for every configuration: half of what composing costs, and tests compose thousands."""
    parsed: dict[str, Any] = {}
    load = OmegaConf.load

    def once(file: str | Path | IO[Any]) -> Any:
        if isinstance(file, str | Path):
            return load(file)
        text = file.read()
        if text not in parsed:
            file.seek(0)
            parsed[text] = load(file)
        return deepcopy(parsed[text])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", once)
        yield


@pytest.fixture(autouse=True)
def global_generators_untouched() -> Iterator[None]:
    """Fail a test in which anything draws from a global generator."""
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    yield
    assert torch.equal(before[0], torch.random.get_rng_state()), "torch's global generator was used"
    assert before[1] == random.getstate(), "Python's global generator was used"
    assert before[2] == np.random.get_state()[1].tolist(), "NumPy's global generator was used"  # noqa: NPY002


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu are skipped where no CUDA device is present."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
