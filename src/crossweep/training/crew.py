"""Networks that train in step: one alone, or several side by side as one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from crossweep import feed
from crossweep.common import common, same
from crossweep.data.base import Split
from crossweep.nn.convert import analog_weights
from crossweep.nn.instances import Instances
from crossweep.training.evaluate import Score, cross_entropy, evaluate, scores_of
from crossweep.training.fit_settings import FitSettings
from crossweep.training.graph import Steps, steps_of
from crossweep.training.optimizer import HybridOptimizer

State = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """A mini-batch before anything is trained on it.

    Args:
        losses: of each network, with its graph.
        found: the same [networks].
        right: samples (or places) that each network gets right [networks].
    """

    losses: list[Tensor]
    found: Tensor
    right: Tensor


class Crew(ABC):
    """What a loop does with the networks that it trains; lists have one entry for each.

    Args:
        network: holds all crossbars.
        optimizer: of all networks.
        smoothing: of the labels, in the loss of each network.

    Attributes:
        drawing: what is active in forward passes.
        steps: whole steps from graphs; None: they are launched one by one.
    """

    def __init__(self, network: nn.Module, optimizer: HybridOptimizer, smoothing: Sequence[float]) -> None:
        self.network, self.optimizer, self.smoothing = network, optimizer, smoothing
        self.drawing: AbstractContextManager[Any] = nullcontext()
        self.steps: Steps | None = steps_of(network, self._whole, self._anchors)

    # -- a mini-batch ------------------------------------------------------------------------------

    @abstractmethod
    def __call__(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        """Outputs [b, classes] for images [b, ...]."""

    def look(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> Look:
        """The forward pass."""
        with self.drawing:
            outputs = self(images)
        pairs = list(zip(outputs, labels, strict=True))
        losses = [
            cross_entropy(*pair, label_smoothing=own) for pair, own in zip(pairs, self.smoothing, strict=True)
        ]
        right = [(y.detach().argmax(-1) == own).sum() for y, own in pairs]
        return Look(losses, torch.stack([loss.detach() for loss in losses]), torch.stack(right))

    def learn(self, look: Look, dead: Sequence[int], factor: float) -> None:
        """The backward pass, and an update of everything with the learning rates times ``factor``; ``dead`` networks have
        diverged and are trained no more."""
        torch.stack([loss for k, loss in enumerate(look.losses) if k not in dead]).sum().backward()
        self.silence(dead)
        self.step(factor)

    def step(self, factor: float) -> None:
        """The update."""
        self.optimizer.step(factor)

    def whole(
        self, images: Sequence[Tensor], labels: Sequence[Tensor], factor: float
    ) -> tuple[Tensor, Tensor]:
        """Both in one, where there are ``steps``; ``found`` and ``right`` of ``Look``, until the next one."""
        assert self.steps is not None
        self.optimizer.factor = factor
        found, right = self.steps(torch.stack(list(images)), torch.stack(list(labels)))
        return found, right

    def _whole(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        look = self.look(images.unbind(), labels.unbind())
        self.learn(look, (), self.optimizer.factor)
        return look.found, look.right

    def _anchors(self) -> Iterator[object]:
        yield from (parameter.data_ptr() for parameter in self.optimizer.parameters)
        if self.optimizer.digital is not None:
            yield self.optimizer.digital.state

    @abstractmethod
    def silence(self, dead: Sequence[int]) -> None:
        """Between backward pass and update: forget what these networks would be trained on."""

    # -- the rest ----------------------------------------------------------------------------------

    @abstractmethod
    def train(self) -> None:
        """Training mode."""

    @abstractmethod
    def scores(self, split: Split) -> list[Score]:
        """As ``evaluate``."""

    @abstractmethod
    def end_epoch(self, losses: Sequence[float]) -> None:
        """Tell the training rules the mean training losses of an epoch."""

    @abstractmethod
    def settle(self) -> list[State]:
        """Make the networks themselves what they have become; returns the state of each one's optimizer."""


class Alone(Crew):
    """One network.

    Args:
        model: trained in place.
        settings: of its loop.
        state: of its optimizer, None at the start.
    """

    def __init__(self, model: nn.Module, settings: FitSettings, state: State | None = None) -> None:
        optimizer = HybridOptimizer.of(model, settings.analog_lr, settings.optimizer)
        super().__init__(model, optimizer, [settings.label_smoothing])
        self.model = model
        if state is not None:
            self.optimizer.load_state_dict(state)

    def train(self) -> None:
        self.model.train()

    def __call__(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        return [self.model(images[0])]

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


class SideBySide(Crew):
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
        optimizer = HybridOptimizer(weights, digital, rate, settings[0].optimizer)
        super().__init__(self.together.whole, optimizer, [one.label_smoothing for one in settings])
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
        super().step(factor)
        if self.own:
            feed.refuse("the networks have digital optimizers of their own")
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
