"""``hydra/sweeper=crossweep``: a study of workers on shared storage. Importing it imports no Optuna."""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from crossweep.errors import CrossweepError
from crossweep.sweep.settings import Settings, from_mappings
from crossweep.trust import packages

log = logging.getLogger(__name__)

PARTS = {
    "sampler": ("tpe", "levelset", "qmc", "grid", "random", "gp", "cmaes", "nsgaii", "nsgaiii"),
    "pruner": (
        "none",
        "median",
        "percentile",
        "patient",
        "successive_halving",
        "hyperband",
        "threshold",
        "wilcoxon",
    ),
    "storage": ("journal", "sqlite", "rdb", "grpc", "memory"),
}


class CrossweepSweeper(Sweeper):
    """Hands the search space, the settings and the user's function to `crossweep.sweep`.

    Settings come from ``hydra.sweeper`` and, where a configuration has one, from its ``study`` node, which
    wins.
    """

    def __init__(self, **settings: Any) -> None:
        self._given = settings
        self._config: DictConfig | None = None
        self._context: HydraContext | None = None
        self._function: Callable[[Any], Any] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: Callable[[Any], Any], config: DictConfig
    ) -> None:
        """Called by Hydra before `sweep`."""
        self._config, self._context, self._function = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Run the study; as a worker of a pool, run that worker."""
        try:
            return self._sweep(arguments)
        except CrossweepError as error:
            # one line for the user's mistakes, the whole story on request
            if os.environ.get("HYDRA_FULL_ERROR"):
                raise
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            raise SystemExit(2) from error

    def _sweep(self, arguments: list[str]) -> Any:
        from crossweep.sweep.controller import Controller, base_config, with_assignment
        from crossweep.sweep.plugins import require_known
        from crossweep.sweep.pool import assignment
        from crossweep.sweep.space import parse
        from crossweep.sweep.worker import Task, Worker

        assert self._config is not None and self._context is not None and self._function is not None
        settings = from_mappings(_plain(self._given), _plain(self._config.get("study")))
        require_known(settings, packages(_resolved(self._config.get("plugins", []))))
        space, fixed = parse(
            arguments,
            settings.params,
            _plain(self._config.get("axis")),
            settings.conditions,
            base_config(self._config),
            self._context.config_loader,
        )
        directory = Path(str(self._config.hydra.sweep.dir))
        wanted = assignment()
        if wanted is None:
            controller = Controller(
                settings, space, fixed, directory, self._config, self._context, self._function
            )
            return controller.run()
        name = settings.name or directory.name
        task = Task(
            name=name, directory=directory, settings=settings, space=space, fixed=tuple(fixed), storage=None
        )
        worker = Worker(with_assignment(task, wanted), self._config, self._context, self._function)
        return worker.loop(
            f"{wanted['index']}", parent=wanted["parent"], most=settings.trials_per_process, wait=True
        )


def _plain(node: Any) -> dict[str, Any]:
    """A configuration node as plain Python, interpolations resolved."""
    if node is None:
        return {}
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    result = {str(key): _resolved(value) for key, value in plain.items()} if isinstance(plain, dict) else {}
    return result


def _resolved(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _defaults() -> dict[str, Any]:
    values = {}
    for item in fields(Settings):
        if item.name not in PARTS:
            value = item.default_factory() if item.default_factory is not MISSING else item.default
            values[item.name] = list(value) if isinstance(value, tuple) else value
    return values


def _register() -> None:
    store = ConfigStore.instance()
    node = {
        "_target_": f"{CrossweepSweeper.__module__}.{CrossweepSweeper.__name__}",
        "defaults": [{kind: names[0]} for kind, names in PARTS.items()] + ["_self_"],
        **_defaults(),
    }
    store.store(group="hydra/sweeper", name="crossweep", node=node, provider="crossweep")
    for kind, names in PARTS.items():
        for name in names:
            store.store(group=f"hydra/sweeper/{kind}", name=name, node={"name": name}, provider="crossweep")


_register()
