"""Frozen descriptions of training: optimizers, schedules, loops."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal, get_args

from crossweep.schema import Checked, Count, NotNegative, Positive, ProperShare, Whole

ParameterKind = Literal["norm", "bias", "head", "weight"]
PARAMETER_KINDS: tuple[ParameterKind, ...] = get_args(ParameterKind)


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Checked):
    """A torch optimizer for digital parameters.

    Args:
        name: ``sgd`` or ``adamw``.
        lr: learning rate at the start of the schedule [1], >= 0.
        momentum: of ``sgd`` [1] in 0..1.
        weight_decay: decoupled for ``adamw``, an L2 term for ``sgd`` [1], >= 0.
    """

    name: Literal["sgd", "adamw"]
    lr: NotNegative
    momentum: ProperShare
    weight_decay: NotNegative


@dataclass(frozen=True, kw_only=True)
class RateSchedule(Checked):
    """Factor on all learning rates over a run.

    Args:
        name: ``constant``; ``cosine`` from 1 to ``final``; ``step``: times ``factor`` after every ``every`` epochs.
        warmup_epochs: linear rise from 0 [epoch], >= 0.
        final: factor at the end of ``cosine`` [1], >= 0.
        every: of ``step`` [epoch], >= 1.
        factor: of ``step`` [1], > 0.
    """

    name: Literal["constant", "cosine", "step"]
    warmup_epochs: NotNegative
    final: NotNegative
    every: Count
    factor: Positive

    def at(self, epoch: float, epochs: int) -> float:
        """The factor after ``epoch`` of ``epochs`` epochs (fractions count)."""
        if epoch < self.warmup_epochs:
            return epoch / self.warmup_epochs
        if self.name == "constant":
            return 1.0
        if self.name == "step":
            return float(self.factor ** (int(epoch) // self.every))
        progress = (epoch - self.warmup_epochs) / max(epochs - self.warmup_epochs, 1e-9)
        return self.final + (1 - self.final) * (1 + cos(pi * min(progress, 1.0))) / 2


@dataclass(frozen=True, kw_only=True)
class FitSettings(Checked):
    """One training loop.

    Args:
        epochs: passes over the training split [1], >= 0.
        batch_size: samples per update [1], >= 1.
        optimizer: for the digital parameters.
        schedule: of all learning rates.
        analog_lr: learning rate of the tiles at the start of the schedule [1], >= 0.
        digital_parameters: which digital parameters train: ``norm``, ``bias``, ``head``, ``weight`` (every other
            weight that is not on tiles).
        augment: use the data set's augmentation.
        label_smoothing: of the cross entropy [1] in [0, 1).
    """

    epochs: Whole
    batch_size: Count
    optimizer: OptimizerSettings
    schedule: RateSchedule
    analog_lr: NotNegative = 0.1
    digital_parameters: tuple[ParameterKind, ...] = PARAMETER_KINDS
    augment: bool
    label_smoothing: ProperShare
