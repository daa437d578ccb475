"""The models a measurement is compared with: parameters, starting values, and what they are as a device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossweep.fitting import responses

Array = NDArray[np.float64]
NOISES = ("cycle_noise", "reading_noise")
_LINEAR_BEND = 1e-3  # an exponential needs some bend; less than this cannot be told from a straight line


@dataclass(frozen=True)
class Parameter:
    """One number to estimate; ``positive`` ones are estimated, and their intervals formed, on a log scale."""

    name: str
    positive: bool


@dataclass(frozen=True)
class Candidate:
    """A device model with one kind of pulse noise.

    Args:
        name: of the device option, e.g. ``soft_bounds``.
        code: of the compiled response.
        additive: pulse noise keeps its size.
        shape: parameters beyond the two steps at zero.
        fixed_bounds: the bounds are the ends of the measured range, not estimated.
    """

    name: str
    code: int
    additive: bool
    shape: tuple[Parameter, ...] = ()
    fixed_bounds: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, in the order of the vector that is estimated."""
        if self.code == responses.PIECEWISE:
            own: tuple[Parameter, ...] = self.shape
        else:
            own = (Parameter("step_up", True), Parameter("step_down", True), *self.shape)
        bounds = () if self.fixed_bounds else (Parameter("w_max", True), Parameter("w_min", True))
        return (*own, *bounds, *(Parameter(name, True) for name in NOISES))

    @property
    def label(self) -> str:
        """Name, with the kind of noise."""
        return f"{self.name} ({'additive' if self.additive else 'multiplicative'} noise)"


def _shape(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, False) for name in names)


_NODES = _shape(*(f"{way}_{k}" for way in ("up", "down") for k in range(responses.NODES)))
CANDIDATES: tuple[Candidate, ...] = (
    Candidate("constant_step", responses.CONSTANT, additive=True),
    Candidate("soft_bounds", responses.SOFT, additive=True),
    Candidate("soft_bounds", responses.SOFT, additive=False),
    Candidate("linear_step", responses.LINEAR, additive=False, shape=_shape("gamma_up", "gamma_down")),
    Candidate("linear_step", responses.LINEAR, additive=True, shape=_shape("gamma_up", "gamma_down")),
    Candidate(
        "pow_step",
        responses.POW,
        additive=False,
        shape=(Parameter("pow_gamma_up", True), Parameter("pow_gamma_down", True)),
    ),
    Candidate(
        "exp_step",
        responses.EXP,
        additive=False,
        shape=_shape("fade_up", "bend_up", "fade_down", "bend_down"),
    ),
    Candidate("piecewise_step", responses.PIECEWISE, additive=False, shape=_NODES, fixed_bounds=True),
)
NAMES = tuple(dict.fromkeys(c.name for c in CANDIDATES))


@dataclass(frozen=True)
class Unpacked:
    """A parameter vector as the likelihood takes it."""

    p: Array
    low: float
    high: float
    cycle: float
    reading: float


def unpack(candidate: Candidate, x: Array, ends: tuple[float, float]) -> Unpacked:
    """Parameters from the estimated vector (positive ones as logarithms)."""
    values = np.where([q.positive for q in candidate.parameters], np.exp(np.minimum(x, 50.0)), x)
    cycle, reading = float(values[-2]), float(values[-1])
    if candidate.fixed_bounds:
        return Unpacked(values[:-2], *ends, cycle, reading)
    return Unpacked(values[:-4], -float(values[-3]), float(values[-4]), cycle, reading)


def limits(candidate: Candidate, ends: tuple[float, float], floor: float) -> Array:
    """Box of the search [n, 2]: generous, but finite, and bounds no tighter than the data allow."""
    low, high = ends
    width = high - low
    box = {
        "w_max": (max(high - 0.5 * width, 1e-3), 50 * width),
        "w_min": (max(-low - 0.5 * width, 1e-3), 50 * width),
    }
    box |= {"cycle_noise": (1e-4, 1e2), "reading_noise": (floor, 2 * width)}
    box |= {"step_up": (1e-7, 2 * width), "step_down": (1e-7, 2 * width)}
    box |= {"pow_gamma_up": (1e-2, 30.0), "pow_gamma_down": (1e-2, 30.0)}
    box |= {"bend_up": (-20.0, 20.0), "bend_down": (-20.0, 20.0)}
    found = []
    for q in candidate.parameters:
        a, b = box.get(q.name, (-20.0, 20.0))
        found.append((np.log(a), np.log(b)) if q.positive else (a, b))
    return np.array(found)


def starts(candidate: Candidate, guess: Mapping[str, float], ends: tuple[float, float]) -> list[Array]:
    """Starting vectors from a straight-line fit to the steps; several where the model has several shapes."""
    if candidate.code == responses.EXP:
        return [_start(candidate, {**guess, "bend": bend}, ends) for bend in (-3.0, -1.0, 1.0, 3.0)]
    if candidate.code == responses.POW:
        return [_start(candidate, {**guess, "gamma": gamma}, ends) for gamma in (0.7, 1.0, 2.0)]
    return [_start(candidate, guess, ends)]


def _start(candidate: Candidate, guess: Mapping[str, float], ends: tuple[float, float]) -> Array:
    low, high = ends
    up, down = guess["step_up"], guess["step_down"]
    fade_up = float(np.clip(guess["fade_up"], -0.9, 0.98))
    fade_down = float(np.clip(guess["fade_down"], -0.9, 0.98))
    # a hard bound that was met lies inside the extremes, which noise pushes outwards
    wide, deep = high - 1.5 * guess["reading"], max(-low - 1.5 * guess["reading"], 1e-3)
    shape: dict[str, float] = {
        "gamma_up": fade_up,
        "gamma_down": fade_down,
        "bend_up": guess.get("bend", 0.1),
    }
    shape |= {"fade_up": fade_up, "fade_down": fade_down, "bend_down": guess.get("bend", 0.1)}
    gamma = guess.get("gamma", 1.0)
    shape |= {"pow_gamma_up": gamma, "pow_gamma_down": gamma}
    for k, v in enumerate(np.linspace(low, high, responses.NODES)):
        shape |= {f"up_{k}": max(up * (1 - fade_up * v), 0.1 * up)}
        shape |= {f"down_{k}": max(down * (1 + fade_down * v), 0.1 * down)}
    soft = candidate.code in (responses.SOFT, responses.POW)
    # (1 - v / b)^g falls from zero with the slope g / b
    shape["w_max"] = max(gamma / max(fade_up, 0.05), 1.05 * high) if soft else wide
    shape["w_min"] = max(gamma / max(fade_down, 0.05), -1.05 * low, 1e-3) if soft else deep
    shape |= {
        "step_up": up,
        "step_down": down,
        "cycle_noise": guess["cycle_noise"],
        "reading_noise": guess["reading"],
    }
    return np.array([np.log(shape[q.name]) if q.positive else shape[q.name] for q in candidate.parameters])


def keys(candidate: Candidate, mean: Mapping[str, float]) -> dict[str, object]:
    """The device's own keys beyond the common ones, and ``step_up``, ``step_down``, ``w_max``, ``w_min``.

    The steps are those that the device's formula calls ``s+`` and ``s-``; they need not be those at zero.
    """
    shared = ("step_up", "step_down", "w_max", "w_min")
    common: dict[str, object] = {name: float(mean[name]) for name in shared if name in mean}
    return common | _OWN[candidate.name](mean, candidate)


def _linear(mean: Mapping[str, float], candidate: Candidate) -> dict[str, object]:
    # estimated: share lost from 0 to the end of the range at 1; the device: to its mean bound
    return {
        "gamma_up": mean["gamma_up"] * mean["w_max"],
        "gamma_down": mean["gamma_down"] * -mean["w_min"],
        "mult_noise": not candidate.additive,
        "allow_increasing": bool(min(mean["gamma_up"], mean["gamma_down"]) < 0),
    }


def _soft(mean: Mapping[str, float], candidate: Candidate) -> dict[str, object]:
    return {"mult_noise": not candidate.additive}


def _pow(mean: Mapping[str, float], candidate: Candidate) -> dict[str, object]:
    width = mean["w_max"] - mean["w_min"]
    up, down = mean["pow_gamma_up"], mean["pow_gamma_down"]
    larger = max(up, down)
    return {
        "step_up": mean["step_up"] * (width / mean["w_max"]) ** up,
        "step_down": mean["step_down"] * (width / (-mean["w_min"] or width)) ** down,  # 0: a pair
        "pow_gamma": larger,
        "pow_up_down": 1 - down / up if up >= down else up / down - 1,
    }


def _exp(mean: Mapping[str, float], candidate: Candidate) -> dict[str, object]:
    found: dict[str, object] = {"a": (mean["w_max"] - mean["w_min"]) / 2, "b": 0.0}
    for way in ("up", "down"):
        bend = mean[f"bend_{way}"]
        bend = bend if abs(bend) > _LINEAR_BEND else _LINEAR_BEND
        size, factor = responses.amplitude(mean[f"step_{way}"], mean[f"fade_{way}"], bend)
        found |= {f"step_{way}": size, f"A_{way}": factor, f"gamma_{way}": bend}
    return found


def _piecewise(mean: Mapping[str, float], candidate: Candidate) -> dict[str, object]:
    def nodes(way: str) -> list[float]:
        return [max(mean[f"{way}_{k}"], 0.0) for k in range(responses.NODES)]

    up, down = nodes("up"), nodes("down")
    middle = (up[responses.NODES // 2] + down[responses.NODES // 2]) / 2
    return {
        "step_up": middle,
        "step_down": middle,
        "piecewise_up": [v / middle for v in up],
        "piecewise_down": [v / middle for v in down],
    }


_OWN: Mapping[str, Callable[[Mapping[str, float], Candidate], dict[str, object]]] = {
    "constant_step": lambda mean, candidate: {},
    "soft_bounds": _soft,
    "linear_step": _linear,
    "pow_step": _pow,
    "exp_step": _exp,
    "piecewise_step": _piecewise,
}


def choose(names: Sequence[str] | None) -> tuple[Candidate, ...]:
    """The candidates of some models, all by default."""
    return tuple(c for c in CANDIDATES if names is None or c.name in names)
