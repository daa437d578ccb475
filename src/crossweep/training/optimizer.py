"""One step for a mixed model: pulses for the tiles, a torch optimizer for what stays digital."""

from collections.abc import Iterable
from operator import mul
from typing import Any

import torch
from torch import nn

from crossweep import feed
from crossweep.common import Moving, Number, lift
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
        fused: use torch's fused kernels, which can be captured in a graph; None: where parameters lie on a GPU.

    Attributes:
        factor: on both learning rates, in the step that is being made.
    """

    def __init__(
        self,
        weights: list[TiledWeight],
        parameters: list[nn.Parameter],
        analog_lr: Number,
        settings: OptimizerSettings,
        *,
        fused: bool | None = None,
    ) -> None:
        self.weights = weights
        self.parameters = parameters
        self.settings = settings
        self.factor = 1.0
        self.analog_lr = analog_lr
        self.rate = Moving(lambda: lift(mul, analog_lr, self.factor, name="training.finetune.analog_lr"))
        self.fused = fused or (fused is None and any(one.is_cuda for one in parameters))
        self.digital = torch_optimizer(parameters, settings, fused=self.fused)
        self.trained = sum(parameter.numel() for parameter in parameters)

    @classmethod
    def of(
        cls, model: nn.Module, analog_lr: float, settings: OptimizerSettings, *, fused: bool | None = None
    ) -> "HybridOptimizer":
        """For all crossbars of a model, and those of its digital parameters that require a gradient."""
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return cls(list(analog_weights(model).values()), trained, analog_lr, settings, fused=fused)

    def step(self, factor: float) -> None:
        """Update everything with the learning rates times ``factor``, and forget the gradients."""
        self.factor = factor
        update_all(self.weights, self.rate)
        if self.digital is None:
            return
        lr: Any = feed.number(lambda: self.settings.lr * self.factor, self.parameters[0])
        if self.fused:  # a tensor in all steps, lest those of a graph round otherwise
            lr = (torch.ones((), device=self.parameters[0].device) * lr).float()
        self._set(lr=lr, capturable=feed.capturing() and self.parameters[0].is_cuda)
        self.digital.step()
        self.digital.zero_grad(set_to_none=True)
        self._set(lr=self.settings.lr * self.factor, capturable=False)  # what a checkpoint keeps

    def _set(self, **options: Any) -> None:
        assert self.digital is not None
        for group in self.digital.param_groups:
            group.update({key: value for key, value in options.items() if key in group})

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
            # whoever wrote it may have had other kernels
            groups = [group | {"fused": self.fused or None} for group in state["param_groups"]]
            self.digital.load_state_dict(state | {"param_groups": groups})


def torch_optimizer(
    parameters: list[nn.Parameter], settings: OptimizerSettings, *, fused: bool = False
) -> torch.optim.Optimizer | None:
    """The optimizer of digital parameters; None where there are none."""
    if not parameters:
        return None
    common: dict[str, Any] = {
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "fused": fused or None,
    }
    if settings.name == "adamw":
        return torch.optim.AdamW(parameters, **common)
    return torch.optim.SGD(parameters, momentum=settings.momentum, **common)
