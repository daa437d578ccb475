"""Networks that train in step: one alone, or several side by side as one."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from crossweep.common import common, same
from crossweep.data.base import Split
from crossweep.nn.convert import analog_weights
from crossweep.nn.instances import Instances
from crossweep.training.evaluate import Score, evaluate, scores_of
from crossweep.training.fit_settings import FitSettings
from crossweep.training.optimizer import HybridOptimizer

State = dict[str, Any]


class Crew(Protocol):
    """What a loop does with the networks that it trains; lists have one entry for each."""

    def train(self) -> None:
        """Training mode."""

    def __call__(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        """Outputs [b, classes] for images [b, ...]."""

    def step(self, factor: float) -> None:
        """Update everything with the learning rates times ``factor``, and forget the gradients."""

    def silence(self, dead: Sequence[int]) -> None:
        """Before a step: these networks have diverged and are trained no more."""

    def scores(self, split: Split) -> list[Score]:
        """As ``evaluate``."""

    def end_epoch(self, losses: Sequence[float]) -> None:
        """Tell the training rules the mean training losses of an epoch."""

    def settle(self) -> list[State]:
        """Make the networks themselves what they have become; returns the state of each one's optimizer."""


class Alone:
    """One network.

    Args:
        model: trained in place.
        settings: of its loop.
        state: of its optimizer, None at the start.
    """

    def __init__(self, model: nn.Module, settings: FitSettings, state: State | None = None) -> None:
        self.model = model
        self.optimizer = HybridOptimizer.of(model, settings.analog_lr, settings.optimizer)
        if state is not None:
            self.optimizer.load_state_dict(state)

    def train(self) -> None:
        self.model.train()

    def __call__(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        return [self.model(images[0])]

    def step(self, factor: float) -> None:
        self.optimizer.step(factor)

    def silence(self, dead: Sequence[int]) -> None:
        if dead:
            self.optimizer.drop()

    def scores(self, split: Split) -> list[Score]:
        return [evaluate(self.model, split)]

    def end_epoch(self, losses: Sequence[float]) -> None:
        self.optimizer.end_epoch(losses[0])

    def settle(self) -> list[State]:
        return [self.optimizer.state_dict()]


class Part:
    """The optimizer of one of several networks, where they are not alike.

    Args:
        parameters: its own digital ones, in memory that the others' lie in.
        settings: of its loop.
    """

    def __init__(self, parameters: list[nn.Parameter], settings: FitSettings) -> None:
        self.parameters = parameters
        self.optimizer = HybridOptimizer([], parameters, 0.0, settings.optimizer)

    @classmethod
    def of(cls, all_of_them: Sequence[nn.Parameter], i: int, settings: FitSettings) -> "Part":
        """For network ``i`` of parameters [networks, ...]."""
        return cls([nn.Parameter(one.data[i]) for one in all_of_them], settings)

    def step(self, factor: float, gradients: Sequence[Tensor | None]) -> None:
        """As of the optimizer."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step(factor)


class SideBySide:
    """Several networks as one.

    Args:
        models: trained in place.
        settings: of their loops; learning rates and optimizers may differ.
        states: of their optimizers, None at the start.

    Raises:
        ApartError: they cannot go in step.
    """

    def __init__(
        self, models: Sequence[nn.Module], settings: Sequence[FitSettings], states: Sequence[State | None]
    ) -> None:
        self.together = Instances(models)
        weights = list(analog_weights(self.together.whole).values())
        self.trained = [one for one in self.together.parameters.values() if one.requires_grad]
        rate = common([one.analog_lr for one in settings], "training.finetune.analog_lr")
        alike = all(same(one.optimizer, settings[0].optimizer) for one in settings)
        digital = self.trained if alike else []
        self.optimizer = HybridOptimizer(weights, digital, rate, settings[0].optimizer)
        self.own = [] if alike else [Part.of(self.trained, i, one) for i, one in enumerate(settings)]
        self.losses: Sequence[float] = ()
        known = [state for state in states if state]
        if known and alike:
            self.optimizer.load_state_dict(_together(known))
        for part, state in zip(self.own, states):
            if state:
                part.optimizer.load_state_dict(state)

    def train(self) -> None:
        self.together.train()

    def __call__(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        return self.together(torch.stack(list(images))).unbind()

    def step(self, factor: float) -> None:
        self.optimizer.step(factor)
        if self.own:
            for i, part in enumerate(self.own):
                part.step(factor, [None if one.grad is None else one.grad[i] for one in self.trained])
            for one in self.trained:
                one.grad = None

    def silence(self, dead: Sequence[int]) -> None:
        if dead:
            self.together.silence(dead)

    @torch.no_grad()
    def scores(self, split: Split) -> list[Score]:
        many = len(self.together)
        self.together.train(False)
        found = scores_of(lambda images: self.together(images.expand(many, *images.shape)), many, split)
        self.together.train()
        return found

    def end_epoch(self, losses: Sequence[float]) -> None:
        self.losses = losses

    def settle(self) -> list[State]:
        self.together.scatter()
        # a rule may go another way than its neighbours' from here on
        for model, loss in zip(self.together.models, self.losses, strict=True):
            for weight in analog_weights(model).values():
                weight.end_epoch(loss)
        if self.own:
            return [part.optimizer.state_dict() for part in self.own]
        whole = self.optimizer.state_dict()
        return [_one(whole, i) for i in range(len(self.together))]


def _together(states: Sequence[State]) -> State:
    """One state of torch's optimizers from those of several instances."""
    numbers = {
        key: {name: _stacked(name, [state["state"][key][name] for state in states]) for name in own}
        for key, own in states[0]["state"].items()
    }
    return {"state": numbers, "param_groups": states[0]["param_groups"]}


def _stacked(name: str, values: Sequence[Any]) -> Any:
    return torch.stack(list(values)) if isinstance(values[0], Tensor) and name != "step" else values[0]


def _one(whole: State, i: int) -> State:
    """The state of instance ``i``; the number of steps is everybody's."""
    numbers = {
        key: {
            name: value[i] if isinstance(value, Tensor) and name != "step" else value
            for name, value in own.items()
        }
        for key, own in whole.get("state", {}).items()
    }
    return {"state": numbers, "param_groups": whole["param_groups"]} if whole else {}
