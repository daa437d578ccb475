"""The search space: axes from the command line, ``params`` and the ``axis`` group, and their conditions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from crossweep.axis import Axis
from crossweep.errors import ConfigError, FieldError
from crossweep.sweep.axes import conditions, distribution, from_yaml, literal, overrides

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial


@dataclass(frozen=True)
class Space:
    """The axes of a study, in an order in which every condition precedes what depends on it."""

    axes: tuple[Axis, ...]

    def __getitem__(self, name: str) -> Axis:
        return next(axis for axis in self.axes if axis.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @property
    def conditional(self) -> bool:
        """Whether some axis exists only for some values of others."""
        return any(axis.when for axis in self.axes)

    def distributions(self) -> "dict[str, BaseDistribution]":
        """The axes that every trial has."""
        return {axis.name: distribution(axis) for axis in self.axes if not axis.when}

    def suggest(self, trial: "Trial") -> dict[str, Any]:
        """Values of one trial, conditional axes only where their conditions hold."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        values: dict[str, Any] = {}
        for axis in self.active(values):
            spec = distribution(axis)
            if isinstance(spec, CategoricalDistribution):
                values[axis.name] = trial.suggest_categorical(axis.name, spec.choices)
            elif isinstance(spec, IntDistribution):
                values[axis.name] = trial.suggest_int(
                    axis.name, spec.low, spec.high, step=spec.step, log=spec.log
                )
            else:
                low, high = axis.ends
                values[axis.name] = trial.suggest_float(
                    axis.name, float(low), float(high), step=axis.step, log=axis.log
                )
        return values

    def active(self, values: Mapping[str, Any]) -> Iterable[Axis]:
        """The axes in force; ``values`` may grow while this is walked."""
        for axis in self.axes:
            if all(values.get(key, _MISSING) in accepted for key, accepted in (axis.when or {}).items()):
                yield axis

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Hydra overrides of one point."""
        return [
            text for axis in self.axes if axis.name in values for text in overrides(axis, values[axis.name])
        ]


_MISSING = object()


def parse(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    axis_nodes: Mapping[str, Mapping[str, Any]],
    when: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
    config_loader: Any = None,
) -> tuple[Space, list[str]]:
    """The search space, and the overrides that every trial shares.

    Args:
        arguments: task overrides of the command line, in Hydra's grammar.
        params: ``{key: grammar text or value}``; the command line wins over it.
        axis_nodes: entries of the ``axis`` group.
        when: conditions from ``study.conditions``.
        config: plain configuration, for conditions on keys that are not swept.
        config_loader: Hydra's, for ``glob(*)``.

    Raises:
        ConfigError: a key is both swept and fixed, or a condition is circular or names nothing.
    """
    swept: dict[str, Axis] = {}
    fixed: dict[str, str] = {}
    texts = [f"{key}={value if isinstance(value, str) else literal(value)}" for key, value in params.items()]
    for text, override in zip(texts + list(arguments), _parse(texts + list(arguments), config_loader)):
        key = override.get_key_element().lstrip("+~")
        swept.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            try:
                swept[key] = _axis_of(key, override)
            except FieldError as error:
                raise ConfigError(f"{key}: {error}") from error
        else:
            fixed[key] = text
    axes = {name: from_yaml(name, node) for name, node in axis_nodes.items()}
    _no_double_use(axes, swept, fixed)
    axes.update(swept)
    for name, condition in when.items():
        if name in fixed:
            continue  # the command line has decided
        if name not in axes:
            raise ConfigError(f"study.conditions.{name}: no such axis; the axes are {', '.join(axes)}")
        axes[name] = replace(axes[name], when={**(axes[name].when or {}), **conditions(condition)})
    return Space(_ordered(_settle_fixed_conditions(axes, config))), list(fixed.values())


def _parse(texts: list[str], config_loader: Any) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return list(OverridesParser.create(config_loader=config_loader).parse_overrides(texts))
    except HydraException as error:
        raise ConfigError(f"search space: {str(error).splitlines()[0]}") from error


def _axis_of(key: str, override: Any) -> Axis:
    """Axis from one override of the sweep grammar."""
    add, value = override.is_add() or override.is_force_add(), override.value()
    tags: set[str] = getattr(value, "tags", set())
    scale: Literal["linear", "log"] = "log" if "log" in tags else "linear"
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        return Axis(
            name=key,
            keys=(key,),
            add=add,
            low=value.start,
            high=value.end,
            scale=scale,
            integer=whole or "int" in tags,
        )
    if override.is_range_sweep():
        # exclusive as Hydra's own range; a log-tagged range cannot be stepped, so it is listed
        points = [float(item) if not isinstance(item, int) else item for item in override.sweep_iterator()]
        if not points:
            raise ConfigError(f"{key}: the range is empty")
        if len(points) == 1 or scale == "log":
            return Axis(name=key, keys=(key,), add=add, choices=tuple(points))
        whole = all(isinstance(item, int) for item in points)
        step = abs(points[1] - points[0])
        ends = sorted((points[0], points[-1]))
        return Axis(name=key, keys=(key,), add=add, low=ends[0], high=ends[1], step=step, integer=whole)
    items = [_choice(item) for item in override.sweep_iterator()]
    return Axis(name=key, keys=(key,), add=add, choices=tuple(items))


def _choice(item: Any) -> Any:
    """A choice as a plain value (quoted strings lose their quotes)."""
    from hydra.core.override_parser.types import QuotedString

    return item.text if isinstance(item, QuotedString) else item


def _no_double_use(axes: Mapping[str, Axis], swept: Mapping[str, Axis], fixed: Mapping[str, str]) -> None:
    owners: dict[str, list[Axis]] = {}
    for axis in axes.values():
        for key in axis.keys:
            if key in swept or key in fixed:
                how = "swept" if key in swept else "fixed"
                raise ConfigError(
                    f"{key}: {how} by an override and driven by axis {axis.name}; drop one of the two"
                )
            for other in owners.setdefault(key, []):
                if not _exclusive(axis, other):
                    raise ConfigError(
                        f"{key}: driven by two axes, {other.name} and {axis.name}; drop one of the two, or let"
                        " conditions (when) keep them apart"
                    )
            owners[key].append(axis)


def _exclusive(one: Axis, other: Axis) -> bool:
    """Whether conditions see to it that no trial has both axes."""
    own, theirs = one.when or {}, other.when or {}
    return any(not {*own[key]} & {*theirs[key]} for key in own.keys() & theirs.keys())


def _settle_fixed_conditions(axes: Mapping[str, Axis], config: Mapping[str, Any]) -> dict[str, Axis]:
    """Conditions on keys that are not swept hold or fail for the whole study."""
    settled = {}
    for name, axis in axes.items():
        open_conditions, holds = {}, True
        for key, accepted in (axis.when or {}).items():
            if key in axes:
                open_conditions[key] = accepted
            elif key not in config:
                raise ConfigError(f"condition of {name}: {key} is neither an axis nor a configuration key")
            else:
                holds = holds and config[key] in accepted
        if holds:
            settled[name] = replace(axis, when=open_conditions or None)
    dangling = {key for axis in settled.values() for key in axis.when or {}} - settled.keys()
    return {name: axis for name, axis in settled.items() if not dangling & (axis.when or {}).keys()}


def _ordered(axes: Mapping[str, Axis]) -> tuple[Axis, ...]:
    """Axes with those that others depend on first, otherwise in the given order."""
    done: dict[str, Axis] = {}
    while len(done) < len(axes):
        ready = [
            name
            for name, axis in axes.items()
            if name not in done and (axis.when or {}).keys() <= done.keys()
        ]
        if not ready:
            circle = ", ".join(name for name in axes if name not in done)
            raise ConfigError(f"study.conditions: circular among {circle}")
        done[ready[0]] = axes[ready[0]]
    return tuple(done.values())


def lookup(config: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Flat ``{dotted key: value}`` view of a configuration, group choices included under the group's name."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: Mapping[str, Any]) -> None:
        for key, value in node.items():
            name = f"{prefix}{key}"
            if isinstance(value, Mapping):
                walk(f"{name}.", value)
            else:
                flat[name] = value

    walk("", config)
    return {**flat, **choices}
