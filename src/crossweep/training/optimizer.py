"""One step for a mixed model: pulses for the tiles, a torch optimizer for what stays digital."""

from collections.abc import Iterable
from operator import mul
from typing import Any

import torch
from torch import nn

from crossweep.common import Number, lift
from crossweep.nn.convert import analog_weights
from crossweep.nn.tiled_weight import TiledWeight, update_all
from crossweep.training.fit_settings import OptimizerSettings

_NORMS = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


def parameter_kind(model: nn.Module, name: str, head: Iterable[str]) -> str:
    """``norm``, ``head``, ``bias`` or ``weight``: what a digital parameter is, for choosing what trains."""
    owner, _, leaf = name.rpartition(".")
    if isinstance(model.get_submodule(owner), _NORMS):
        return "norm"
    if any(owner == part or owner.startswith(f"{part}.") for part in head):
        return "head"
    return "bias" if leaf == "bias" else "weight"


def train_only_(model: nn.Module, kinds: Iterable[str], head: Iterable[str]) -> None:
    """Freeze every digital parameter but those of some kinds.

    Args:
        model: changed in place.
        kinds: which digital parameters train.
        head: names of the modules that count as head.
    """
    chosen, head = set(kinds), list(head)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter_kind(model, name, head) in chosen)


class HybridOptimizer:
    """Steps tiles and digital parameters together; both learning rates follow one schedule.

    Args:
        weights: on crossbars; there may be none.
        parameters: the digital ones.
        analog_lr: learning rate of the tiles, or of each instance's.
        settings: optimizer of the digital parameters.
    """

    def __init__(
        self,
        weights: list[TiledWeight],
        parameters: list[nn.Parameter],
        analog_lr: Number,
        settings: OptimizerSettings,
    ) -> None:
        self.weights = weights
        self.analog_lr = analog_lr
        self.settings = settings
        self.digital = torch_optimizer(parameters, settings)
        self.trained = sum(parameter.numel() for parameter in parameters)

    @classmethod
    def of(cls, model: nn.Module, analog_lr: float, settings: OptimizerSettings) -> "HybridOptimizer":
        """For all crossbars of a model, and those of its digital parameters that require a gradient."""
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return cls(list(analog_weights(model).values()), trained, analog_lr, settings)

    def step(self, factor: float) -> None:
        """Update everything with the learning rates times ``factor``, and forget the gradients."""
        update_all(self.weights, lift(mul, self.analog_lr, factor, name="training.finetune.analog_lr"))
        if self.digital is not None:
            for group in self.digital.param_groups:
                group["lr"] = self.settings.lr * factor
            self.digital.step()
            self.digital.zero_grad(set_to_none=True)

    def end_epoch(self, loss: float) -> None:
        """Tell the training rules the mean training loss of an epoch."""
        for weight in self.weights:
            weight.end_epoch(loss)

    def drop(self) -> None:
        """Forget the gradients without a step."""
        for weight in self.weights:
            weight.forget()
        if self.digital is not None:
            self.digital.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """State of the torch optimizer; tiles keep theirs in the model."""
        return self.digital.state_dict() if self.digital is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        if self.digital is not None:
            self.digital.load_state_dict(state)


def torch_optimizer(
    parameters: list[nn.Parameter], settings: OptimizerSettings
) -> torch.optim.Optimizer | None:
    """The optimizer of digital parameters; None where there are none."""
    if not parameters:
        return None
    if settings.name == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
