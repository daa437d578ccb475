"""Which model is offered: the most probable one that is determined, makes sense, and explains the scatter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError
from crossweep.fitting import responses
from crossweep.fitting.candidates import Candidate
from crossweep.fitting.device_file import unusable
from crossweep.fitting.fit import Z95, DeviceFit, fit
from crossweep.fitting.keys import device_keys
from crossweep.fitting.population import ModelFit
from crossweep.fitting.readings import Readings
from crossweep.fitting.scale import Scale
from crossweep.fitting.trains import Trains

PER_PARAMETER = 3  # readings
FACTOR = 3.0  # either way, that the 95 % interval of the step in mid-range may span
RESIDUAL = 1.25  # largest root mean square of standardised residuals of a model that explains the scatter
SUDDEN = 3.0  # residual of a first pulse after a turn over that of the others
MEMORY = 0.3  # correlation of consecutive residuals that is worth a word
_CLOSE = 2.0  # difference of BIC "not worth more than a bare mention" (Kass and Raftery, JASA 90:773, 1995)


@dataclass(frozen=True)
class Measurement:
    """A fitted measurement.

    Args:
        source: the first of its files.
        scale: conductances of the weights.
        models: every candidate that could be fitted, the most probable first.
        objections: why a model is not offered, by label: of candidates that could not be fitted, and of the more probable
            ones.
        notes: what the user should know.
    """

    source: Path
    scale: Scale
    models: tuple[ModelFit, ...]
    objections: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> ModelFit:
        """The simplest of the `likeliest`."""
        return min(self.likeliest, key=lambda m: len(m.candidate.parameters))

    @property
    def likeliest(self) -> tuple[ModelFit, ...]:
        """The most probable model without an objection, and those that the data cannot tell from it."""
        fit = [m for m in self.models if m.candidate.label not in self.objections]
        return tuple(m for m in fit if m.bic - fit[0].bic < _CLOSE)


def fit_all(
    source: Path, trains: Sequence[Trains], scale: Scale, candidates: Sequence[Candidate]
) -> Measurement:
    """Fit every device to every candidate, and choose.

    Raises:
        ConfigError: no model can be offered; the message says why the most probable one cannot.
    """
    readings = [scale.readings(t) for t in trains]
    models, objections = _fit(readings, candidates)
    notes = []
    sudden = [_sudden(f) for f in models[0].fits] if models else []
    if any(s.any() for s in sudden):
        readings = [replace(r, fresh=r.starts | s) for r, s in zip(readings, sudden, strict=True)]
        notes.append(
            f"the first pulse of {sum(int(s.sum()) for s in sudden)} trains moves the device by more than any model "
            "expects; these trains are fitted from their first reading on"
        )
        models, objections = _fit(readings, candidates)
    if all(c.label in objections for c in candidates):
        first = models[0].candidate.label if models else next(iter(objections))
        cause = f"; {notes[0]}" if notes else ""
        raise ConfigError(f"{source}: no model can be offered; {first}: {objections[first]}{cause}")
    measurement = Measurement(source, scale, models, objections)
    return replace(measurement, notes=(*notes, *_notes(measurement)))


def _fit(
    readings: Sequence[Readings], candidates: Sequence[Candidate]
) -> tuple[tuple[ModelFit, ...], dict[str, str]]:
    """Models, the most probable first, and objections."""
    models, objections = [], {}
    for candidate in candidates:
        try:
            model = ModelFit(candidate, tuple(fit(candidate, r) for r in readings))
        except (ConfigError, ValueError, ArithmeticError) as error:  # LinAlgError is a ValueError
            objections[candidate.label] = str(error)
            continue
        models.append(model)
    models.sort(key=lambda m: m.bic)
    limit = np.inf
    for model in models:  # what is far less probable than one that can be offered is not looked at any closer
        if model.bic > limit:
            break
        if (objection := _objection(model)) is None:
            limit = min(limit, model.bic + _CLOSE)
        else:
            objections[model.candidate.label] = objection
    return tuple(models), objections


def _objection(model: ModelFit) -> str | None:
    """Why a model must not be offered."""
    for device in model.fits:
        readings, needed = int(np.isfinite(device.residuals).sum()), PER_PARAMETER * device.free
        if readings < needed:
            name = device.readings.device
            return f"device {name!r}: {readings} readings are too few for its parameters, {needed} are needed"
    allowed = max(RESIDUAL, 1 + 5 / np.sqrt(2 * sum(np.isfinite(f.residuals).sum() for f in model.fits)))
    if not model.residual < allowed:
        return f"its residuals are {model.residual:.3g} times what it expects"
    if model.residual < 1 / allowed and not any(f.silent for f in model.fits):
        return f"its residuals are only {model.residual:.3g} of what it expects"
    for device in model.fits:
        for up in (True, False):
            if not up and device.readings.one_way:
                continue
            objection = _negative(device, up) or _undetermined(device, up)
            if objection:
                return f"device {device.readings.device!r}: {objection}"
    try:
        return unusable(device_keys(model))
    except ArithmeticError as error:  # steps that vanish or explode in the device's own parameters
        return f"its parameters make no device ({error})"


def _negative(device: DeviceFit, up: bool) -> str | None:
    """Steps that point the wrong way within the measured range, beyond their error and what noise adds to the range."""
    low, high = device.readings.ends
    margin = min(2 * device.values["reading_noise"], 0.2 * (high - low))
    for v in np.linspace(low + margin, high - margin, 9):
        size = device.raw_step(float(v), up=up)
        if size < 0 and size < -2 * device.step_error(float(v), up=up) - 0.02 * abs(
            device.step((low + high) / 2, up=up)
        ):
            return f"its {'up' if up else 'down'} step is negative at {v:.2f}"
    return None


def _undetermined(device: DeviceFit, up: bool) -> str | None:
    middle = sum(device.readings.ends) / 2
    size, error = device.step(middle, up=up), device.step_error(middle, up=up)
    known = size > 0 and (~device.open).any() and error * Z95 < size * np.log(FACTOR)
    if known and (error > 0 or device.candidate.code == responses.PIECEWISE):
        return None
    factor = np.exp(min(error * Z95 / size, 50.0)) if size > 0 and error > 0 else np.inf
    noise = device.values["reading_noise"] / (device.readings.ends[1] - device.readings.ends[0])
    return (
        f"cannot determine the {'up' if up else 'down'} step: its 95 % interval spans a factor of {factor:.3g} "
        f"either way ({FACTOR:g} is allowed) under noise of {noise:.2g} of the range; record more pulses"
    )


def _sudden(device: DeviceFit) -> NDArray[np.bool_]:
    """First readings after a turn that the model cannot explain, where it explains the others [t]."""
    pulses, residuals = device.readings.pulses, device.residuals
    sign = np.sign(pulses)
    carried = sign[np.maximum.accumulate(np.where(sign != 0, np.arange(sign.size), 0))]
    turn = np.diff(carried, prepend=carried[0]) != 0
    found = np.zeros(sign.size, bool)
    for way in (1, -1):
        here = turn & (sign == way) & np.isfinite(residuals)
        rest = np.isfinite(residuals) & ~turn
        if here.sum() < 2 or not rest.any():
            continue
        mean, usual = float(np.mean(residuals[here])), float(np.sqrt(np.mean(residuals[rest] ** 2)))
        if way * mean > SUDDEN * max(usual, 0.1) and (way * residuals[here] > 0).all():
            found |= turn & (sign == way)
    return found


def _notes(measurement: Measurement) -> list[str]:
    first, best = measurement.models[0], measurement.best
    found = []
    if first.candidate.label in measurement.objections:
        label = first.candidate.label
        found.append(f"{label} explains the data better but is not offered: {measurement.objections[label]}")
    if best.residual > 0.5 and abs(best.memory) > max(
        MEMORY, 4 / np.sqrt(sum(np.isfinite(f.residuals).sum() for f in best.fits))
    ):
        found.append(
            f"consecutive residuals correlate ({best.memory:+.2f}): the device does something that no model here has"
        )
    return found
