"""Points of the search space as vectors: a unit coordinate per axis to choose, one-hot features to model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

if TYPE_CHECKING:
    from crossweep.sweep.space import Space

Array = NDArray[np.float64]
# two categories differ in two features, so their distance is the edge of the cube
CATEGORY_HEIGHT = 1 / np.sqrt(2)


class Encoding:
    """The axes that every trial has, in order."""

    def __init__(self, space: "Space") -> None:
        self.distributions: dict[str, BaseDistribution] = space.distributions()

    @property
    def size(self) -> int:
        """Number of axes."""
        return len(self.distributions)

    def params(self, point: Array) -> dict[str, Any]:
        """Values of a point [k] of the unit cube; a category takes an equal share of its coordinate."""
        return {name: _value(item, float(u)) for (name, item), u in zip(self.distributions.items(), point)}

    def features(self, params: Mapping[str, Any]) -> Array:
        """[f] features of a point: what the model sees, after rounding to values that can be run."""
        parts = [_features(item, params[name]) for name, item in self.distributions.items()]
        return np.concatenate(parts)

    def features_of(self, points: Array) -> Array:
        """[n, f] features of points [n, k] of the unit cube."""
        columns = [_column(item, points[:, i]) for i, item in enumerate(self.distributions.values())]
        return np.concatenate(columns, axis=1)


def _value(item: BaseDistribution, u: float) -> Any:
    if isinstance(item, CategoricalDistribution):
        return item.choices[min(int(u * len(item.choices)), len(item.choices) - 1)]
    assert isinstance(item, FloatDistribution | IntDistribution)
    if isinstance(item, IntDistribution):
        # half a step of margin at both ends, so that every number has the same share
        raw = _stretch(item.low - 0.5 * item.step, item.high + 0.5 * item.step, item.log, u)
        steps = round((raw - item.low) / item.step)
        return int(np.clip(item.low + steps * item.step, item.low, item.high))
    raw = _stretch(item.low, item.high, item.log, u)
    if item.step is not None:
        raw = round(item.low + round((raw - item.low) / item.step) * item.step, 12)
    return float(np.clip(raw, item.low, item.high))


def _stretch(low: float, high: float, log: bool, u: float) -> float:
    return float(low * (high / low) ** u) if log else float(low + (high - low) * u)


def _features(item: BaseDistribution, value: Any) -> Array:
    if isinstance(item, CategoricalDistribution):
        hot = np.zeros(len(item.choices))
        hot[item.choices.index(value)] = CATEGORY_HEIGHT
        return hot
    assert isinstance(item, FloatDistribution | IntDistribution)
    low, high, at = (np.log(v) if item.log else float(v) for v in (item.low, item.high, value))
    return np.array([(at - low) / (high - low)])


def _column(item: BaseDistribution, u: Array) -> Array:
    if isinstance(item, FloatDistribution) and item.step is None:
        return u[:, None]
    return np.stack([_features(item, _value(item, float(one))) for one in u])
