"""How good a model is on one split."""

from dataclasses import dataclass

import torch
from torch import nn

from crossweep.data.base import Split, batches


@dataclass(frozen=True)
class Score:
    """Share of correctly classified samples in 0..1, and mean cross entropy [nat]."""

    accuracy: float
    loss: float


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, *, batch_size: int = 256) -> Score:
    """Accuracy and loss from one pass over ``split``; analog reads keep their noise, as a chip would."""
    training = model.training
    model.eval()
    correct, loss = 0, 0.0
    for images, labels in batches(split, batch_size):
        logits = model(images)
        correct += int((logits.argmax(-1) == labels).sum())
        loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
    model.train(training)
    return Score(correct / len(split), loss / len(split))
