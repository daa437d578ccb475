"""The training loop on a model of one layer: every setting reaches what it is for, and a cut leaves no trace."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossweep.bench.basic import basic
from crossweep.data.base import Split, Task
from crossweep.rng import Stream
from crossweep.training import crew as crew_module
from crossweep.training import optimizer as optimizer_module
from crossweep.training.fit_settings import FitSettings, OptimizerSettings, RateSchedule
from crossweep.training.loop import Loop, Row
from crossweep.training.optimizer import HybridOptimizer
from crossweep.training.progress import Silent

SGD = basic(OptimizerSettings, name="sgd", lr=0.1, momentum=0.9)
CONSTANT = basic(RateSchedule, name="constant")
PLAIN = FitSettings(
    epochs=1, batch_size=4, optimizer=SGD, schedule=CONSTANT, augment=False, label_smoothing=0.0
)
IDLE = replace(PLAIN, optimizer=replace(SGD, lr=0.0))


def split(seed: int, labels: Tensor) -> Split:
    images = Stream(seed).normal(len(labels), 1, 2, 3, like=torch.empty(0))
    return Split(images=images, labels=labels, mean=(0.0,), std=(1.0,))


def task(**changes: Any) -> Task:
    """Ten training samples of three classes; validation has the first class only, test the second only."""
    given = {
        "train": split(1, torch.arange(10) % 3),
        "validation": split(2, torch.zeros(5, dtype=torch.int64)),
        "test": split(3, torch.ones(6, dtype=torch.int64)),
    }
    return Task(name="ten", class_names=("a", "b", "c"), **given | changes)


class Net(nn.Module):
    """A normalised linear classifier that remembers what it was shown, and in which mode."""

    def __init__(self, favourite: int | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            self.norm, self.body, self.head = nn.LayerNorm(6), nn.Linear(6, 4), nn.Linear(4, 3)
        generator = Stream(9).generator()
        for name, parameter in self.named_parameters():
            parameter.data.uniform_(0.5, 1.0, generator=generator)
            if favourite is not None and name == "head.bias":
                parameter.data[favourite] = 1e3
        self.seen: list[tuple[Tensor, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((x.detach().clone(), self.training))
        return self.head(self.body(self.norm(x.flatten(1))))  # type: ignore[no-any-return]


def fit(model: nn.Module, settings: FitSettings, given: Task | None = None, **more: Any) -> list[Row]:
    loop = Loop(
        title="fit", model=model, task=given or task(), settings=settings, head=["head"], streams=[Stream(4)],
        **{"checkpoint": None, "progress": Silent()} | more,
    )  # fmt: skip
    return loop.run().history


def test_both_rates_follow_the_schedule_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    analog: list[float] = []
    digital: list[float] = []
    monkeypatch.setattr(optimizer_module, "update_all", lambda weights, lr: analog.append(lr.now()))
    step = HybridOptimizer.step

    def watched(self: HybridOptimizer, factor: float) -> None:
        assert self.digital is not None
        hook = self.digital.register_step_pre_hook(
            lambda optimizer, *_: digital.extend(group["lr"] for group in optimizer.param_groups)
        )
        step(self, factor)
        hook.remove()

    monkeypatch.setattr(HybridOptimizer, "step", watched)
    schedule = basic(RateSchedule, name="cosine", warmup_epochs=0.5, final=0.1)
    history = fit(Net(), replace(PLAIN, epochs=2, schedule=schedule, analog_lr=0.3))
    # three mini-batches an epoch
    factors = [schedule.at(step / 3, 2) for step in range(6)]
    assert len(set(factors)) == 6
    assert analog == pytest.approx([0.3 * factor for factor in factors])
    assert digital == pytest.approx([0.1 * factor for factor in factors])
    assert [row["analog_lr"] for row in history] == pytest.approx([0.3 * factors[2], 0.3 * factors[5]])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_has_the_label_smoothing_that_was_asked_for(smoothing: float) -> None:
    model, given = Net(), task()
    (row,) = fit(model, replace(IDLE, label_smoothing=smoothing), given)
    # (1 - s) of the label's log-probability, s of the mean over the classes
    logits = model(given.train.images).log_softmax(-1)
    own = logits.gather(1, given.train.labels.unsqueeze(1)).mean()
    wanted = -((1 - smoothing) * own + smoothing * logits.mean())
    assert row["train_loss"] == pytest.approx(wanted.item(), rel=1e-5)


def test_the_error_of_the_training_loss_is_that_of_a_mean_over_mini_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches of 4, 4 and 2: weighted mean, and the spread of its three parts over the root of two."""
    losses: list[float] = []
    loss = crew_module.cross_entropy

    def noted(*given: Any, **options: Any) -> Tensor:
        found = loss(*given, **options)
        losses.append(found.item())
        return found

    monkeypatch.setattr(crew_module, "cross_entropy", noted)
    (row,) = fit(Net(), IDLE)
    assert len(set(losses)) == 3
    mean = np.average(losses, weights=[4, 4, 2])
    variance = np.average((np.array(losses) - mean) ** 2, weights=[4, 4, 2])
    assert row["train_loss"] == pytest.approx(mean, rel=1e-5)
    assert row["train_loss_se"] == pytest.approx(np.sqrt(variance / 2), rel=1e-3)


def test_augmentation_changes_training_images_only_and_only_if_asked_for() -> None:
    given = task(augment=lambda images, generator: torch.zeros_like(images))
    for asked in (True, False):
        model = Net()
        fit(model, replace(IDLE, augment=asked), given)
        trained = torch.cat([images for images, training in model.seen if training])
        judged = torch.cat([images for images, training in model.seen if not training])
        assert bool((trained == 0).all()) == asked
        assert torch.equal(judged, torch.cat((given.validation.images, given.test.images)))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "kinds", [("norm",), ("bias", "head"), ("weight",), ("norm", "bias", "head", "weight")]
)
def test_only_the_named_kinds_of_parameters_train(kinds: tuple[str, ...]) -> None:
    model, before = Net(), Net()
    fit(model, replace(PLAIN, digital_parameters=kinds))
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before.get_parameter(name))}
    of_kind = {
        "norm": {"norm.weight", "norm.bias"},
        "head": {"head.weight", "head.bias"},
        "bias": {"body.bias"},
        "weight": {"body.weight"},
    }
    assert moved == set().union(*(of_kind[kind] for kind in kinds))


def test_models_train_in_training_mode_and_are_judged_in_evaluation_mode() -> None:
    model = Net()
    fit(model, replace(IDLE, epochs=2))
    # three mini-batches, then validation and test, twice
    assert [training for _, training in model.seen] == 2 * ([True] * 3 + [False] * 2)


@pytest.mark.parametrize(("favourite", "scores"), [(0, (1.0, 0.0)), (1, (0.0, 1.0)), (2, (0.0, 0.0))])
def test_each_split_is_judged_by_itself(favourite: int, scores: tuple[float, float]) -> None:
    (row,) = fit(Net(favourite), IDLE)
    assert (row["validation_accuracy"], row["test_accuracy"]) == scores
    (row,) = fit(Net(favourite), IDLE, task(validation=None))
    assert "validation_accuracy" not in row


class Stop(Exception):
    """Stands for a power cut."""


class Cut(Silent):
    """Stops after the second epoch's checkpoint."""

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        if row["epoch"] == 2:
            raise Stop
        return False


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_loop_goes_on_with_the_momentum_it_had(name: str, tmp_path: Path) -> None:
    settings = replace(PLAIN, epochs=4, optimizer=replace(SGD, name=name))  # type: ignore[arg-type]
    whole, cut, resumed = Net(), Net(), Net()
    fit(whole, settings)
    with pytest.raises(Stop):
        fit(cut, settings, checkpoint=tmp_path / "c.safetensors", progress=Cut())
    assert not torch.equal(cut.body.weight, whole.body.weight)
    fit(resumed, settings, checkpoint=tmp_path / "c.safetensors")
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name
