"""What can be known to be wrong with the points of a study before the first trial.

A task function may carry ``check``: it takes a composed configuration, raises where a run would refuse it, and returns
the names of the metrics that the run will have.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossweep.errors import ConfigError
from crossweep.sweep.axes import grid, overrides
from crossweep.sweep.compose import is_value
from crossweep.sweep.refusals import near, reason
from crossweep.sweep.settings import Settings, parse_bound
from crossweep.sweep.space import Space

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

OWN = ("hydra", "study", "axis")  # nodes that say how a study runs


def require_reaches_the_run(space: Space) -> None:
    """Refuse axes over keys that say how the study runs: no run would see them.

    Raises:
        ConfigError: such an axis.
    """
    for axis in space.axes:
        for key in axis.keys:
            if key.replace("/", ".").partition(".")[0] in OWN:
                raise ConfigError(f"{key}: cannot be swept, it says how the study runs and reaches no run")


def require_experiment_holds(config: "DictConfig", loader: "ConfigLoader") -> None:
    """Refuse a point at which a study takes the place of what an experiment chooses: Hydra lets the later option win.

    Raises:
        ConfigError: another data set, model, ... would be trained than the experiment's.
    """
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    final = config.hydra.runtime.choices
    if not (final.get("experiment") and final.get("study")):
        return
    typed = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(typed, list)
    alone = [word for word in typed if word.partition("=")[0].lstrip("+") != "study"]
    own = loader.compute_defaults_list(config.hydra.job.config_name, alone, RunMode.RUN).overrides
    for group, chosen in own.override_choices.items():
        by = own.override_metadata[group].containing_config_path or ""
        if by.partition("/")[0] == "experiment" and final.get(group) != chosen:
            raise ConfigError(
                f"experiment={final.experiment}: chooses {group}={chosen}, but study={final.study} {group}={final[group]}, "
                f"and a study comes last; say which, {group}=..."
            )


def samples(space: Space) -> Iterator[dict[str, Any]]:
    """Points that hold both ends of every range and every choice at least once."""
    most = max((len(axis.choices) for axis in space.axes if axis.choices is not None), default=1)
    seen = []
    for end in (0, -1):
        for place in range(most):
            values: dict[str, Any] = {}
            for axis in space.active(values):
                points = grid(axis)
                values[axis.name] = points[end if axis.choices is None else place % len(points)]
            if values not in seen:
                seen.append(values)
                yield values


def precheck(
    space: Space,
    fixed: Sequence[str],
    config: "DictConfig",
    loader: "ConfigLoader",
    function: Callable[[Any], Any],
) -> list[Sequence[str]]:
    """Compose, and let the task function check, a configuration for every end and choice of every axis.

    Args:
        space: the axes.
        fixed: overrides that all points share.
        config: Hydra's configuration of the sweep.
        loader: Hydra's.
        function: the task function.

    Returns:
        The metrics of the runs at these points, where the task function knows them.

    Raises:
        ConfigError: a point cannot be composed or run.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    compose = _Compose(space, fixed, config, loader)
    check: Callable[[DictConfig], Sequence[str]] | None = getattr(function, "check", None)
    require_reaches_the_run(space)
    metrics = []
    for values in samples(space):
        try:
            point = compose(values)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(reason(error, lambda: _plain(config))) from error
        if check is not None:
            metrics.append(check(point))
    return metrics


def _plain(config: "DictConfig") -> dict[str, Any]:
    from omegaconf import OmegaConf

    names = [name for name in config if name != "hydra"]
    found = OmegaConf.to_container(OmegaConf.masked_copy(config, names), resolve=False)  # type: ignore[arg-type]
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


class _Compose:
    """Composes points; Hydra does it once for each choice of files, values are laid over a copy of that."""

    def __init__(
        self, space: Space, fixed: Sequence[str], config: "DictConfig", loader: "ConfigLoader"
    ) -> None:
        self._space, self._fixed, self._config, self._loader = space, list(fixed), config, loader
        self._composed: dict[tuple[str, ...], bytes] = {}

    def __call__(self, values: Mapping[str, Any]) -> "DictConfig":
        from omegaconf import OmegaConf

        choices: list[str] = []
        settings: dict[str, Any] = {}
        for axis in self._space.axes:
            if axis.name in values:
                value = values[axis.name]
                if not axis.add and all(is_value(self._config, key, value) for key in axis.keys):
                    settings |= dict.fromkeys(axis.keys, value)
                else:
                    choices += overrides(axis, value)
        if tuple(choices) not in self._composed:
            made = self._loader.load_sweep_config(self._config, [*self._fixed, *choices])
            require_experiment_holds(made, self._loader)
            self._composed[tuple(choices)] = pickle.dumps(made)
        point: DictConfig = pickle.loads(self._composed[tuple(choices)])  # faster than a deep copy
        for key, value in settings.items():
            OmegaConf.update(point, key, value, merge=True)
        return point


def require_metrics(settings: Settings, metrics: Sequence[str]) -> None:
    """Every metric that the study names is one that a run returns.

    Raises:
        ConfigError: one is not.
    """
    named: dict[str, list[str]] = {
        "study.objectives": list(settings.objectives),
        "study.constraints": [parse_bound(text)[0] for text in settings.constraints],
    }
    if isinstance(settings.sampler, Mapping) and "metric" in settings.sampler:
        named["study.sampler.metric"] = [str(settings.sampler["metric"])]
    for key, names in named.items():
        for name in names:
            if name not in metrics:
                rule = f"must name metrics of a run ({', '.join(metrics)})"
                raise ConfigError(f"{key}: {rule}, got {name!r}{near(name, metrics)}")
