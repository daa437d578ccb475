"""The training loop, for digital and analog models alike."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, isfinite, sqrt
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import nn

from crossweep.common import ApartError
from crossweep.data.base import Task, batches
from crossweep.errors import ConfigError
from crossweep.nn.randomness import Drawing
from crossweep.rng import Company, Stream, derive_key
from crossweep.training import endurance
from crossweep.training.checkpoint import load_checkpoint, save_checkpoint
from crossweep.training.crew import Alone, Crew, SideBySide
from crossweep.training.fit_settings import FitSettings
from crossweep.training.optimizer import HybridOptimizer, train_only_
from crossweep.training.progress import Progress

log = logging.getLogger(__name__)

Row = dict[str, float]
LOOK_EVERY = 32  # mini-batches between two looks at the losses of another device


@dataclass(frozen=True)
class FitResult:
    """How a loop ended, and its history (one row per epoch)."""

    state: Literal["complete", "diverged", "pruned"]
    history: list[Row]


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Everything that the training of one network needs.

    Args:
        title: what progress output calls it.
        model: trained in place.
        task: train split, and validation and test splits for the history.
        settings: epochs, rates, batch size.
        head: names of the modules that count as head.
        streams: random streams that the checkpoint must hold; ``batches`` is forked from the first.
        checkpoint: file to resume from and to write after every epoch, or None.
        progress: where life signs go.
        watch_test: also evaluate the test split after every epoch (for the history only).
    """

    title: str
    model: nn.Module
    task: Task
    settings: FitSettings
    head: Sequence[str]
    streams: Sequence[Stream]
    checkpoint: Path | None
    progress: Progress
    watch_test: bool = True

    def run(self) -> FitResult:
        """Train, from the checkpoint on if there is one."""
        return train_together([self])[0]

    def begin(self) -> "Running":
        """Where the checkpoint left it, or before the first epoch."""
        train_only_(self.model, self.settings.digital_parameters, self.head)
        if self.checkpoint is None or not self.checkpoint.exists():
            return Running(self)
        crew = Alone(self.model, self.settings)
        history: list[Row] = restore(self.checkpoint, self.model, self.streams, crew.optimizer)["history"]
        return Running(self, history, crew.optimizer.state_dict(), crew)


@dataclass
class Running:
    """A loop that goes on.

    Args:
        loop: what it is.
        history: one row per epoch that is over.
        optimizer: state of its optimizer; None: it has made no step.
        crew: itself alone, where it has trained so.
        apart: it cannot train beside others.
        result: once it has ended.
    """

    loop: Loop
    history: list[Row] = field(default_factory=list)
    optimizer: dict[str, Any] | None = None
    crew: Alone | None = None
    apart: bool = False
    result: FitResult | None = None

    def end(self, state: Literal["complete", "diverged", "pruned"]) -> None:
        """It goes on no more."""
        self.result = FitResult(state, self.history)

    def alone(self) -> Alone:
        """Itself as a crew."""
        self.crew = self.crew or Alone(self.loop.model, self.loop.settings, self.optimizer)
        return self.crew

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        if self.loop.checkpoint is None:
            return
        state = {
            "model": self.loop.model.state_dict(),
            "optimizer": self.optimizer,
            "streams": [stream.state_dict() for stream in self.loop.streams],
            "history": self.history,
        }
        save_checkpoint(self.loop.checkpoint, state)


def train_together(loops: Sequence[Loop]) -> list[FitResult]:
    """Train several networks on one task, each as it would have trained alone; side by side where they can go in step.

    Args:
        loops: with the same task and head, and the same settings but for optimizers, rates and label smoothing.
    """
    runs, epochs = [loop.begin() for loop in loops], loops[0].settings.epochs
    while going := [run for run in runs if run.result is None]:
        # one that comes from an earlier checkpoint catches up first
        behind = min(len(run.history) for run in going)
        if behind >= epochs:
            for run in going:
                run.end("complete")
        else:
            for crew, own in _crews([run for run in going if len(run.history) == behind]):
                _epoch_or_apart(crew, own, behind)
    return [run.result for run in runs if run.result is not None]


def _epoch_or_apart(crew: Crew, runs: list[Running], epoch: int) -> None:
    """An epoch; a company whose first mini-batch shows that it cannot go in step begins again, each network alone."""
    if len(runs) == 1:
        return _epoch(crew, runs, epoch)
    before = [[stream.state_dict() for stream in run.loop.streams] for run in runs]
    try:
        return _epoch(crew, runs, epoch)
    except ApartError as reason:
        log.warning("one after the other: %s", reason)
    for run, states in zip(runs, before, strict=True):
        run.apart = True
        for stream, state in zip(run.loop.streams, states, strict=True):
            stream.load_state_dict(state)
        _epoch(run.alone(), [run], epoch)
    return None


def _crews(runs: list[Running]) -> list[tuple[Crew, list[Running]]]:
    """Who trains with whom: all of them together or, where that cannot be, each alone."""
    if len(runs) > 1 and not any(run.apart for run in runs):
        models = [run.loop.model for run in runs]
        try:
            settings = [run.loop.settings for run in runs]
            together = SideBySide(models, settings, [run.optimizer for run in runs])
        except ApartError as reason:
            log.warning("one after the other: %s", reason)
        else:
            for run in runs:
                run.crew = None
            return [(together, runs)]
    return [(run.alone(), [run]) for run in runs]


def _epoch(crew: Crew, runs: list[Running], epoch: int) -> None:
    """One epoch of networks in step; it ends those that diverge or are pruned, and saves the others."""
    began, loop = perf_counter(), runs[0].loop
    settings, task = loop.settings, loop.task
    trained = _train(crew, runs, epoch)
    if trained is None:
        return
    rows, factor = trained
    crew.end_epoch([row["train_loss"] for row in rows])
    splits = {"validation": task.validation, "test": task.test if loop.watch_test else None}
    found = {name: crew.scores(split) for name, split in splits.items() if split is not None}
    states = crew.settle()
    for k, run in enumerate(runs):
        # the last update of an epoch is judged by no training loss
        if run.result is None and not all(isfinite(scores[k].loss) for scores in found.values()):
            run.end("diverged")
        if run.result is not None:
            continue
        row = rows[k] | {f"{name}_accuracy": scores[k].accuracy for name, scores in found.items()}
        if "validation" in found:
            row["validation_loss"] = found["validation"][k].loss
        row |= endurance.row(run.loop.model)
        own = run.loop.settings
        row |= {"analog_lr": own.analog_lr * factor, "digital_lr": own.optimizer.lr * factor}
        run.history.append(row | {"seconds": (perf_counter() - began) / len(runs)})
        run.optimizer = states[k]
        run.save()
        if run.loop.progress.epoch(run.loop.title, run.history[-1], settings.epochs):
            run.end("pruned")


def _train(crew: Crew, runs: list[Running], epoch: int) -> tuple[list[Row], float] | None:
    """The mini-batches of an epoch: what training says of each network, and the last factor of the learning rates.

    None: all of them have diverged.
    """
    loop = runs[0].loop
    settings, task = loop.settings, loop.task
    total, augment = ceil(len(task.train) / settings.batch_size), task.augment if settings.augment else None
    orders = [run.loop.streams[0].fork("batches").generator("cpu") for run in runs]
    parts = [batches(task.train, settings.batch_size, generator=order, augment=augment) for order in orders]
    loss_sum = torch.zeros(len(runs), device=task.train.images.device)
    square_sum, correct = torch.zeros_like(loss_sum), torch.zeros_like(loss_sum)
    finite = torch.ones_like(loss_sum, dtype=torch.bool)
    factor = 1.0
    crew.train()
    layers = [run.loop.streams[0].fork("layers") for run in runs]
    crew.drawing = Drawing(layers[0] if len(layers) == 1 else Company(layers))
    # what a model draws beside dropout and stochastic depth comes from torch's global generator: lend it a seeded one
    with torch.random.fork_rng(_cuda_devices(loop.model)):
        torch.manual_seed(derive_key(loop.streams[0].seed, "layers", epoch))
        for i, batch in enumerate(zip(*parts, strict=True)):
            factor = settings.schedule.at(epoch + i / total, settings.epochs)
            images, labels = zip(*batch, strict=True)
            at_once = crew.steps is not None and not _ended(runs)
            if at_once:  # what diverges has got one update more when that is seen
                found, right = crew.whole(images, labels, factor)
            else:
                look = crew.look(images, labels)
                found, right = look.found, look.right
            finite &= found.isfinite()
            if _looks(finite.device, i + 1, total):
                for run, fine in zip(runs, finite.tolist(), strict=True):
                    if run.result is None and not fine:
                        run.end("diverged")
            dead = _ended(runs)
            if len(dead) == len(runs):
                crew.silence(dead)
                return None
            if not at_once:
                crew.learn(look, dead, factor)
            loss_sum += found * labels[0].numel()
            square_sum += found.square() * labels[0].numel()
            correct += right
            loop.progress.batch(loop.title, i + 1, total)
    sums = zip(loss_sum.tolist(), square_sum.tolist(), correct.tolist(), strict=True)
    return [_row(epoch, task.train.labelled, total, *numbers) for numbers in sums], factor


def _ended(runs: list[Running]) -> list[int]:
    return [k for k, run in enumerate(runs) if run.result is not None]


def _looks(device: torch.device, batch: int, total: int) -> bool:
    """Whether to ask, before the update of mini-batch ``batch`` of ``total``, if all losses so far were finite.

    On the CPU always: pulses from an error that is not finite mean nothing. Elsewhere the answer is waited for, and with it
    everything that has been launched, so it is asked now and then; what diverges meanwhile is found a little later, and in
    the same epoch.
    """
    return device.type == "cpu" or batch % LOOK_EVERY == 0 or batch == total


def _row(epoch: int, samples: int, total: int, loss_sum: float, square_sum: float, correct: float) -> Row:
    mean = loss_sum / samples
    variance = max(square_sum / samples - mean**2, 0.0)  # of one mini-batch's loss
    return {
        "epoch": epoch + 1,
        "train_loss": mean,
        "train_loss_se": sqrt(variance / max(total - 1, 1)),
        "train_accuracy": correct / samples,
    }


def restore(
    checkpoint: Path, model: nn.Module, streams: Sequence[Stream], optimizer: HybridOptimizer | None = None
) -> dict[str, Any]:
    """Put a model, random streams and an optimizer where a checkpoint left them; returns all that it holds.

    Raises:
        ConfigError: the file cannot be read, or is of another model.
    """
    state: dict[str, Any] = load_checkpoint(checkpoint)
    try:
        model.load_state_dict(state["model"])
        if optimizer is not None:
            optimizer.load_state_dict(state["optimizer"])
        for stream, saved in zip(streams, state["streams"], strict=bool(streams)):
            stream.load_state_dict(saved)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"checkpoint: {checkpoint} does not fit this run ({reason}); delete it to start afresh"
        ) from error
    return state


def _cuda_devices(model: nn.Module) -> list[int]:
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    return sorted(device.index or 0 for device in devices)
