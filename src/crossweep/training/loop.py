"""The training loop, for digital and analog models alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import nn

from crossweep.data.base import Split, Task, batches
from crossweep.errors import ConfigError, DivergedError
from crossweep.rng import Stream, derive_key
from crossweep.training import endurance
from crossweep.training.checkpoint import load_checkpoint, save_checkpoint
from crossweep.training.evaluate import Score, cross_entropy, evaluate
from crossweep.training.fit_settings import FitSettings
from crossweep.training.optimizer import HybridOptimizer, train_only_
from crossweep.training.progress import Progress

Row = dict[str, float]


@dataclass(frozen=True)
class FitResult:
    """How a loop ended, and its history (one row per epoch)."""

    state: Literal["complete", "diverged", "pruned"]
    history: list[Row]


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Everything one training loop needs.

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
        train_only_(self.model, self.settings.digital_parameters, self.head)
        optimizer = HybridOptimizer(
            self.model, analog_lr=self.settings.analog_lr, settings=self.settings.optimizer
        )
        history = self._restore(optimizer)
        for epoch in range(len(history), self.settings.epochs):
            try:
                history.append(self._epoch(epoch, optimizer))
            except DivergedError:
                optimizer.drop()
                return FitResult("diverged", history)
            self._save(optimizer, history)
            if self.progress.epoch(self.title, history[-1], self.settings.epochs):
                return FitResult("pruned", history)
        return FitResult("complete", history)

    def _epoch(self, epoch: int, optimizer: HybridOptimizer) -> Row:
        began, settings = perf_counter(), self.settings
        total = ceil(len(self.task.train) / settings.batch_size)
        order = self.streams[0].fork("batches").generator("cpu")
        self.model.train()
        loss_sum = torch.zeros((), device=self.task.train.images.device)
        square_sum, correct = torch.zeros_like(loss_sum), torch.zeros_like(loss_sum)
        augment = self.task.augment if settings.augment else None
        factor = 1.0
        # dropout and stochastic depth inside a model know only torch's global generator: lend them a seeded one
        with torch.random.fork_rng(_cuda_devices(self.model)):
            torch.manual_seed(derive_key(self.streams[0].seed, "layers", epoch))
            for i, (images, labels) in enumerate(
                batches(self.task.train, settings.batch_size, generator=order, augment=augment)
            ):
                factor = settings.schedule.at(epoch + i / total, settings.epochs)
                logits = self.model(images)
                loss = cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
                # before the update: pulses from a non-finite error mean nothing
                if not bool(torch.isfinite(loss)):
                    raise DivergedError(f"loss is {loss.item()} in epoch {epoch + 1}")
                loss.backward()
                optimizer.step(factor)
                loss_sum += loss.detach() * labels.numel()
                square_sum += loss.detach().square() * labels.numel()
                correct += (logits.detach().argmax(-1) == labels).sum()
                self.progress.batch(self.title, i + 1, total)
        samples = self.task.train.labelled
        mean = float(loss_sum) / samples
        variance = max(float(square_sum) / samples - mean**2, 0.0)  # of one mini-batch's loss
        row = {
            "epoch": epoch + 1,
            "train_loss": mean,
            "train_loss_se": sqrt(variance / max(total - 1, 1)),
            "train_accuracy": float(correct) / samples,
        }
        optimizer.end_epoch(row["train_loss"])
        row |= self._scores() | endurance.row(self.model)
        row |= {"analog_lr": settings.analog_lr * factor, "digital_lr": settings.optimizer.lr * factor}
        return row | {"seconds": perf_counter() - began}

    def _scores(self) -> Row:
        row: Row = {}
        if self.task.validation is not None:
            found = self._score(self.task.validation)
            row |= {"validation_accuracy": found.accuracy, "validation_loss": found.loss}
        if self.watch_test:
            row["test_accuracy"] = self._score(self.task.test).accuracy
        return row

    def _score(self, split: Split) -> Score:
        score = evaluate(self.model, split)
        # the last update of an epoch is judged by no training loss
        if not isfinite(score.loss):
            raise DivergedError(f"loss is {score.loss} after the last update of an epoch")
        return score

    # -- resume ------------------------------------------------------------------------------------------------

    def _save(self, optimizer: HybridOptimizer, history: list[Row]) -> None:
        if self.checkpoint is None:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "streams": [stream.state_dict() for stream in self.streams],
            "history": history,
        }
        save_checkpoint(self.checkpoint, state)

    def _restore(self, optimizer: HybridOptimizer) -> list[Row]:
        if self.checkpoint is None or not self.checkpoint.exists():
            return []
        state = restore(self.checkpoint, self.model, self.streams, optimizer)
        history: list[Row] = state["history"]
        return history


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
