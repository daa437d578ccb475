"""What devices have to endure: pulses of each device, on each array, calibration and refresh included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossweep.nn.convert import analog_weights

PULSES = (
    "pulses_mean",
    "pulses_high",
    "pulses_most",
    "pulses_never",
    "endurance",
)  # metrics of every analog training
HIGH = 0.999  # share of devices that get at most `high` pulses


@dataclass(frozen=True, kw_only=True)
class Wear:
    """One array of all layers together: the tiles of one role.

    Args:
        array: the role: ``fast``, ``slow``, ``single``, ``middle_1``, ...
        devices: on it [1].
        mean: pulses of a device [pulse].
        high: 99.9th percentile of the devices' pulses [pulse].
        most: of the device that got most [pulse].
        never: share of devices without any [1].
        calibration: most pulses that a device got before training: zero-shifting [pulse].
    """

    array: str
    devices: int
    mean: float
    high: float
    most: float
    never: float
    calibration: float = 0.0

    def endurance(self, trainings: int) -> float:
        """Pulses that a device must endure for so many trainings, calibrated once, if the same one always gets most."""
        return self.calibration + trainings * (self.most - self.calibration)


def wear(model: nn.Module, before: Sequence[Wear] = ()) -> list[Wear]:
    """What every array of a model has got so far.

    Args:
        model: with any number of analog layers.
        before: the same before training.
    """
    calibrated = {array.array: array.most for array in before}
    return [_of(role, counts, calibrated.get(role, 0.0)) for role, counts in _counts(model).items()]


def _counts(model: nn.Module) -> dict[str, Tensor]:
    """Pulses of all devices [n] by role."""
    found: dict[str, list[Tensor]] = {}
    for weight in analog_weights(model).values():
        for block in weight.parts():
            for role, tile in block.tiles().items():
                found.setdefault(role, []).append(tile.pulses_given.flatten())
    return {role: torch.cat(parts) for role, parts in found.items()}


def _of(role: str, counts: Tensor, calibration: float) -> Wear:
    n = counts.numel()
    return Wear(
        array=role,
        devices=n,
        mean=float(counts.mean(dtype=torch.float64)),
        # the smallest count that this share of the devices does not exceed
        high=float(counts.kthvalue(max(1, -int(-HIGH * n // 1))).values),
        most=float(counts.max()),
        never=float((counts == 0).sum()) / n,
        calibration=calibration,
    )


def row(model: nn.Module) -> dict[str, float]:
    """For the history of a training: pulses so far, of a device in the mean and of that with most, on each array."""
    found = {}
    for role, counts in _counts(model).items():
        found[f"pulses_mean_{role}"] = float(counts.mean(dtype=torch.float64))
        found[f"pulses_most_{role}"] = float(counts.max())
    return found


def metrics(
    arrays: Sequence[Wear],
    history: Sequence[Mapping[str, float]],
    trainings: int,
    target_loss: float | None,
) -> dict[str, float | None]:
    """Of the array that is worst in each: ``PULSES``, ``endurance`` for so many trainings, and ``pulses_to_target``: the
    ``pulses_most`` when the training loss first was ``target_loss``; None: never.
    """
    if not arrays:
        return {}
    found: dict[str, float | None] = {
        "pulses_mean": max(array.mean for array in arrays),
        "pulses_high": max(array.high for array in arrays),
        "pulses_most": max(array.most for array in arrays),
        "pulses_never": max(array.never for array in arrays),
        "endurance": max(array.endurance(trainings) for array in arrays),
    }
    if target_loss is not None:
        reached = next((epoch for epoch in history if epoch["train_loss"] <= target_loss), None)
        names = [f"pulses_most_{array.array}" for array in arrays]
        found["pulses_to_target"] = None if reached is None else max(reached[name] for name in names)
    return found
