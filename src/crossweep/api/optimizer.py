"""Steps of a converted model in a training loop of one's own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crossweep.chosen import option
from crossweep.errors import ConfigError
from crossweep.nn.convert import analog_weights
from crossweep.nn.tiled_weight import update_all
from crossweep.training.optimizer import torch_optimizer


class Optimizer(torch.optim.Optimizer):
    """Pulses for the crossbars of a converted model, and a torch optimizer for its digital parameters.

    Used as any optimizer of torch: ``zero_grad``, ``backward``, ``step``, and torch's learning-rate schedulers. The first
    of ``param_groups`` is the crossbars'. Several ``backward`` before one ``step`` add up.

    What is not given is that of ``training.finetune`` in the configuration's defaults.

    Args:
        model: from `crossweep.convert`; of its digital parameters those train that require a gradient.
        analog_lr: learning rate of the crossbars [1], >= 0.
        name: of the digital parameters' optimizer, ``sgd`` or ``adamw``.
        lr: its learning rate [1], >= 0.
        momentum: of ``sgd`` [1] in [0, 1).
        weight_decay: decoupled for ``adamw``, an L2 term for ``sgd`` [1], >= 0.

    Raises:
        ConfigError: a value breaks its rule, or nothing of the model trains.

    Example:
        >>> optimizer = crossweep.Optimizer(model, analog_lr=0.1)
        >>> for inputs, labels in loader:
        ...     optimizer.zero_grad()
        ...     torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        ...     optimizer.step()
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        analog_lr: float | None = None,
        name: Literal["sgd", "adamw"] | None = None,
        lr: float | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
    ) -> None:
        finetune = option("training").finetune
        given: dict[str, Any] = {
            "name": name,
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
        }
        own = {key: value for key, value in given.items() if value is not None}
        settings = replace(finetune.optimizer, **own)
        rate = finetune.analog_lr if analog_lr is None else replace(finetune, analog_lr=analog_lr).analog_lr
        self._weights = list(analog_weights(model).values())
        self._digital = torch_optimizer([p for p in model.parameters() if p.requires_grad], settings)
        if not self._weights and self._digital is None:
            raise ConfigError(
                "model: has nothing to train, neither crossbars nor parameters that require a gradient"
            )
        groups = [] if self._digital is None else self._digital.param_groups
        super().__init__([{"params": [], "lr": rate}, *(dict(group) for group in groups)], {})
        if self._digital is not None:
            self.state = self._digital.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Train on all that ``backward`` has left: crossbars sample by sample in their order, parameters on their sums.

        Args:
            closure: computes the loss again and calls ``backward``; its result is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        analog, *digital = self.param_groups
        update_all(self._weights, analog["lr"])
        if self._digital is not None:
            # schedulers and `load_state_dict` act on this object's own
            self._digital.param_groups, self._digital.state = digital, self.state
            self._digital.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients, and what ``backward`` has left for the crossbars."""
        super().zero_grad(set_to_none)
        for weight in self._weights:
            weight.forget()

    def end_epoch(self, loss: float | Tensor) -> None:
        """Tell the rules the mean training loss of an epoch; the rule ``mrl`` changes course with it."""
        for weight in self._weights:
            weight.end_epoch(float(loss.detach() if isinstance(loss, Tensor) else loss))
