"""Soft bounds by what a pulse-response curve shows: pulses to the top, and how fast it bends."""

from math import exp
from typing import Any

from crossweep.errors import FieldError
from crossweep.schema import Positive
from crossweep.trust import recipe


@recipe("device")
def from_p_max(
    *,
    p_max: Positive,
    alpha: Positive,
    range_min: float,
    range_max: float,
    dw_min: float | None = None,
    up_down: float | None = None,
    w_max: float | None = None,
    w_min: float | None = None,
    **common: Any,
) -> dict[str, Any]:
    """Soft bounds whose p-th up pulse from ``range_min`` ends at ``range_min + B (1 - e^(-alpha p))``.

    ``B = (range_max - range_min) / (1 - e^(-alpha p_max))``, so ``p_max`` pulses reach ``range_max``. The
    bounds are ``w_min = range_min`` and ``w_max = range_min + B``; every pulse covers the share ``1 -
    e^-alpha`` of the way to its bound: ``s+ = w_max (1 - e^-alpha)``, ``s- = |w_min| (1 - e^-alpha)``.

    Args:
        p_max: pulses from ``range_min`` to ``range_max`` [pulse], > 0.
        alpha: bend of the curve [1/pulse], > 0; small is straight.
        range_min: lower end of the curve, also the lower bound [w], < 0.
        range_max: end of the curve after ``p_max`` pulses [w], > 0.
        dw_min: replaces the step that follows from the curve [w].
        up_down: replaces the asymmetry that follows from the curve [1].
        w_max: replaces the upper bound that follows from the curve [w].
        w_min: replaces the lower bound that follows from the curve [w].
        common: the other parameters of ``SoftBounds``.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: parameters of aihwkit ``SoftBoundsPmaxDevice``.
    Differs: reproduces the documented curve; upstream's conversion takes ``up_down`` for two-sided and ends
    at 1.356 instead of 1 with its defaults.
    """
    if not range_min < 0 < range_max:
        got = f"{range_min}, {range_max}"
        raise FieldError("range_min, .range_max", f"`range_min < 0 < range_max` must hold, got {got}")
    if not alpha * p_max > 1e-9:
        raise FieldError("p_max, .alpha", f"their product must be > 1e-9, got {p_max}, {alpha}")
    low, high = range_min, range_min + (range_max - range_min) / (1 - exp(-alpha * p_max))
    # the asymmetry is one-sided: dw_min is the larger step, up_down shrinks the other
    skew = 1 + low / high if high >= -low else -1 - high / low
    return {
        "_target_": "crossweep.devices.soft_bounds.SoftBounds",
        "dw_min": (1 - exp(-alpha)) * max(high, -low) if dw_min is None else dw_min,
        "up_down": skew if up_down is None else up_down,
        "w_max": high if w_max is None else w_max,
        "w_min": low if w_min is None else w_min,
        **common,
    }
