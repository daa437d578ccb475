"""Frozen descriptions of training: optimizers, schedules, loops."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from crossweep.errors import ConfigError

PARAMETER_KINDS = ("norm", "bias", "head", "weight")


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """A torch optimizer for digital parameters.

    Args:
        name: ``sgd`` or ``adamw``.
        lr: learning rate at the start of the schedule [1], >= 0.
        momentum: of ``sgd`` [1] in 0..1.
        weight_decay: decoupled for ``adamw``, an L2 term for ``sgd`` [1], >= 0.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in ("sgd", "adamw"):
            raise ConfigError(f"optimizer.name: must be sgd or adamw, got {self.name!r}")
        for key in ("lr", "weight_decay"):
            if not getattr(self, key) >= 0:
                raise ConfigError(f"optimizer.{key}: must be >= 0, got {getattr(self, key)}")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optimizer.momentum: must lie in [0, 1), got {self.momentum}")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Factor on all learning rates over a run.

    Args:
        name: ``constant``; ``cosine`` from 1 to ``final``; ``step``: times ``factor`` after every ``every`` epochs.
        warmup_epochs: linear rise from 0 [epoch], >= 0.
        final: factor at the end of ``cosine`` [1], >= 0.
        every: of ``step`` [epoch], >= 1.
        factor: of ``step`` [1], > 0.
    """

    name: Literal["constant", "cosine", "step"] = "cosine"
    warmup_epochs: float = 0.0
    final: float = 0.0
    every: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in ("constant", "cosine", "step"):
            raise ConfigError(f"schedule.name: must be constant, cosine or step, got {self.name!r}")
        if not (self.warmup_epochs >= 0 and self.final >= 0 and self.every >= 1 and self.factor > 0):
            raise ConfigError(
                f"schedule: `warmup_epochs, final >= 0, every >= 1, factor > 0` must hold, got {self.warmup_epochs}, "
                f"{self.final}, {self.every}, {self.factor}"
            )

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
class FitSettings:
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

    epochs: int
    batch_size: int
    optimizer: OptimizerSettings
    schedule: Schedule
    analog_lr: float = 0.1
    digital_parameters: tuple[str, ...] = PARAMETER_KINDS
    augment: bool = True
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not self.epochs >= 0:
            raise ConfigError(f"training.epochs: must be >= 0, got {self.epochs}")
        if not self.batch_size >= 1:
            raise ConfigError(f"training.batch_size: must be >= 1, got {self.batch_size}")
        if not self.analog_lr >= 0:
            raise ConfigError(f"training.analog_lr: must be >= 0, got {self.analog_lr}")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"training.label_smoothing: must lie in [0, 1), got {self.label_smoothing}")
        unknown = set(self.digital_parameters) - set(PARAMETER_KINDS)
        if unknown:
            raise ConfigError(
                f"training.digital_parameters: must be among {PARAMETER_KINDS}, got {sorted(unknown)}"
            )
