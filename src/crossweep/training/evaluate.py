"""How good a model is on one split."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossweep.data.base import Split, batches


@dataclass(frozen=True)
class Score:
    """Share of correctly classified samples (or places) in 0..1, and mean cross entropy [nat]."""

    accuracy: float
    loss: float


EVALUATED_AT_ONCE = 256  # images


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, *, batch_size: int = EVALUATED_AT_ONCE) -> Score:
    """Accuracy and loss from one pass over ``split``; analog reads keep their noise, as a chip would."""
    training = model.training
    model.eval()
    correct, loss = 0, 0.0
    for images, labels in batches(split, batch_size):
        logits = model(images)
        correct += int((logits.argmax(-1) == labels).sum())
        loss += float(cross_entropy(logits, labels, reduction="sum"))
    model.train(training)
    return Score(correct / split.labelled, loss / split.labelled)


def cross_entropy(
    logits: Tensor, labels: Tensor, *, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """Of one label for each sample or for each of its places: ``logits [b, ..., classes]``, ``labels [b, ...]``."""
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction=reduction, label_smoothing=label_smoothing
    )
