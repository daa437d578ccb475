"""Training runs as the entry point carries them out, in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from crossweep.build import plain
from crossweep.paths import conf_dir, version_base
from crossweep.train import Run, train

# groups of which a run has one option; `task` takes the place of a network where it is given
GROUPS = (
    "device", "noise", "symmetry_point", "variability", "io", "engine", "algorithm", "model", "data", "training",
)  # fmt: skip


def configuration(*words: str) -> dict[str, Any]:
    """What ``crossweep-train WORD...`` would run."""
    with initialize_config_dir(str(conf_dir()), **version_base()):
        return plain(compose("train", overrides=list(words)))


def trained(folder: Path, *words: str, **choices: str) -> dict[str, Any]:
    """The record of ``crossweep-train WORD...``; ``folder`` takes its files."""
    return train(configuration(*words), folder, choices=choices, overrides=list(words))


def each(known: Callable[..., dict[str, Any]]) -> Callable[[Sequence[Run]], list[dict[str, Any]]]:
    """In place of ``train_all``: one run after the other is what ``known`` of its arguments says."""

    def all_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
        return [known(run.cfg, run.folder, choices=run.choices, overrides=run.overrides) for run in runs]

    return all_of
