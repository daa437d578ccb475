"""Accuracy of a model on one split."""

import torch
from torch import nn

from crossweep.data.base import Split, batches


@torch.no_grad()
def accuracy(model: nn.Module, split: Split, *, batch_size: int = 256) -> float:
    """Share of correctly classified samples in 0..1; analog reads keep their noise, as a chip would."""
    training = model.training
    model.eval()
    correct = sum(
        int((model(images).argmax(-1) == labels).sum()) for images, labels in batches(split, batch_size)
    )
    model.train(training)
    return correct / len(split)
