"""An axis of a study: a named range, or a list of choices, that drives one or more configuration keys.

The sweeper asks for its points (`crossweep.sweep.axes`), results for its words and its map onto the unit interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossweep.errors import ConfigError
from crossweep.schema import Checked, Items, Positive, Range

Array = NDArray[np.float64]
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLAIN_UNITS = (None, "", "1", "none", "None")


@dataclass(frozen=True, kw_only=True)
class Axis(Checked):
    """A parameter of the study.

    Args:
        name: what Optuna, tables and figures call it.
        keys: configuration keys or groups that all receive the value; none for a switch, a categorical axis
            that only decides which others exist.
        low, high: range [unit], both included (with ``step``: the last grid point); null with ``choices``.
        scale: ``linear`` or ``log``.
        integer: whole numbers only.
        step: spacing [unit] of a stepped axis.
        choices: the values of a categorical axis, instead of a range.
        points: number of grid cells along a continuous axis, for the grid sampler, or the cells themselves [unit].
        unit, label, source: for tables and figures, and where the range comes from.
        ideal: the harmless end, where tolerances start [unit]; default ``low`` for an anchor, found from the data for a
            tolerance.
        nominal: the usual value, at which the other axes' tolerances are stated [unit]; default is what the
            configuration holds.
        configured: what the study's configuration holds [unit], where a report has looked; null: no single number.
        microsiemens: of one unit, where a report has looked and a measured device tells; null: not known.
        when: ``{axis or config key: value(s)}``: the axis exists only where all hold.
        add: the keys are new to the configuration (Hydra's ``+key=value``).

    Raises:
        ConfigError: no range, or one that breaks its rule.
    """

    name: str
    keys: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False
    step: Positive | None = None
    choices: tuple[Any, ...] | None = None
    points: Annotated[int, Range(least=2, most=10_000)] | Annotated[tuple[float, ...], Items(least=1)] = 7
    unit: str | None = None
    label: str | None = None
    source: str | None = None
    ideal: Any = None
    nominal: Any = None
    configured: float | None = None
    microsiemens: float | None = None
    when: Mapping[str, tuple[Any, ...]] | None = None
    add: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.choices is not None:
            if not self.choices:
                raise ConfigError(f"axis.{self.name}.choices: at least one value")
            return
        if self.low is None or self.high is None or not self.low < self.high:
            raise ConfigError(f"axis.{self.name}: low < high must hold, got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ConfigError(f"axis.{self.name}.low: positive on a log scale, got {self.low}")
        if isinstance(self.points, tuple) and not all(self.low <= cell <= self.high for cell in self.points):
            raise ConfigError(
                f"axis.{self.name}.points: within {self.low}..{self.high}, got {list(self.points)}"
            )
        if self.step is not None and self.log:
            raise ConfigError(f"axis.{self.name}.step: only on a linear scale, got {self.step}, {self.scale}")

    @property
    def numeric(self) -> bool:
        """Whether it is a range."""
        return self.choices is None

    @property
    def log(self) -> bool:
        """Whether ratios count, not differences."""
        return self.numeric and self.scale == "log"

    @property
    def ends(self) -> tuple[float, float]:
        """Lower and upper end of the range [unit]."""
        assert self.low is not None and self.high is not None, f"{self.name} has choices, no range"
        return self.low, self.high

    # -- the unit interval ------------------------------------------------------------------------------

    def to_unit(self, values: ArrayLike) -> Array:
        """Own units to [0, 1]; values outside the range land outside."""
        (low, high), v = self.ends, np.asarray(values, dtype=np.float64)
        if self.log:
            low, high, v = np.log(low), np.log(high), np.log(np.maximum(v, 1e-300))
        with np.errstate(over="ignore"):  # a foreign value may lie anywhere
            return np.asarray((v - low) / (high - low))

    def from_unit(self, values: ArrayLike) -> Array:
        """[0, 1] to own units."""
        (low, high), u = self.ends, np.asarray(values, dtype=np.float64)
        return np.asarray(low * (high / low) ** u if self.log else low + u * (high - low))

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether values lie on the axis; what is not finite does not."""
        unit = self.to_unit(values)
        return np.asarray(np.isfinite(unit) & (unit > -1e-6) & (unit < 1 + 1e-6))

    # -- words ------------------------------------------------------------------------------------------

    @property
    def short(self) -> str:
        """Label for figures, without unit."""
        return self.label or self.name.replace("_", " ")

    @property
    def title(self) -> str:
        """Label with unit, for figures: `SP skew [w_max]`."""
        return self.short if self.unit in PLAIN_UNITS else f"{self.short} [{self.unit}]"

    def text(self, value: float) -> str:
        """A value with unit: `0.12 w_max`; with a measured device `0.12 w_max (3.1 µS)`."""
        number = number_text(value)
        real = "" if self.microsiemens is None else f" ({number_text(value * self.microsiemens)} µS)"
        return number if self.unit in PLAIN_UNITS else f"{number} {self.unit}{real}"


def number_text(value: float, digits: int = 3) -> str:
    """A number as people write it: `2000`, not `2e+03`; `3×10⁷` from a million on, `2×10⁻⁵` below a ten-thousandth."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    if 1 <= abs(value) < 1e6:
        return f"{value:.0f}"
    factor, _, power = text.partition("e")
    ten = "10" + str(int(power)).translate(_RAISED)
    return ten if factor == "1" else f"{factor}×{ten}"
