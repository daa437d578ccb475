"""``hydra/sweeper=crossweep``: a study of workers on shared storage. Importing it imports no Optuna."""

import logging
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from crossweep.errors import ConfigError, CrossweepError, file_error, masked
from crossweep.paths import usable
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
        from crossweep.sweep.storage import trouble

        try:
            return self._sweep(arguments)
        except Exception as error:
            problem = error if isinstance(error, CrossweepError) else trouble(error) or file_error(error)
            if problem is None:
                raise
            # one line for the user's mistakes, the whole story on request
            if os.environ.get("HYDRA_FULL_ERROR"):
                raise problem from error
            print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
            raise SystemExit(2) from error

    def _sweep(self, arguments: list[str]) -> Any:
        from crossweep.sweep.controller import Controller, assigned, base_config
        from crossweep.sweep.plugins import require_known
        from crossweep.sweep.pool import assignment
        from crossweep.sweep.space import parse
        from crossweep.sweep.worker import Assignment, Worker

        assert self._config is not None and self._context is not None and self._function is not None
        storage = _storage(self._config)
        _refuse_passwords([str(storage), *arguments])
        given, study = _plain(self._config.hydra.sweeper), _plain(self._config.get("study"))
        given.pop("_target_")
        settings = from_mappings(given, study, {"storage": storage})
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
        usable(directory.absolute())
        wanted = assignment()
        if wanted is None:
            controller = Controller(
                settings, space, fixed, directory, self._config, self._context, self._function
            )
            return controller.run()
        name = directory.name if settings.name is None else settings.name
        task = Assignment(
            name=name,
            directory=directory,
            settings=settings,
            space=space,
            fixed=tuple(fixed),
            storage=storage,
        )
        worker = Worker(assigned(task, wanted), self._config, self._context, self._function)
        return worker.loop(
            f"{wanted['index']}", parent=wanted["parent"], most=settings.trials_per_process, wait=True
        )


def _plain(node: DictConfig | None) -> dict[str, Any]:
    """A configuration node as plain Python, interpolations resolved: all but the storage, see `_storage`."""
    if node is None:
        return {}
    return {str(key): _resolved(node[key]) for key in node if key != "storage"}


def _resolved(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _storage(config: DictConfig) -> Any:
    """The study's storage, a name or a node with its interpolations unresolved.

    It may hold a password from the environment, which is put in where the storage is opened and nowhere else.
    """
    for node in (config.get("study"), config.hydra.sweeper):
        if node is not None and node.get("storage") is not None:
            return node.storage
    return None


def _refuse_passwords(texts: Iterable[str]) -> None:
    """What is typed is written into every trial's folder, so a password must not be typed.

    Raises:
        ConfigError: one is.
    """
    if any(masked(text) != text for text in texts):
        raise ConfigError(
            "study.storage: a password in plain text would be written into every trial's folder; put it into an "
            "environment variable and write ${oc.env:NAME} in its place"
        )


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
