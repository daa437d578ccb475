"""How good a model is on one split."""

from collections.abc import Callable, Iterable
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
    (score,) = scores_of(lambda images: [model(images)], 1, split, batch_size)
    model.train(training)
    return score


def scores_of(
    outputs: Callable[[Tensor], Iterable[Tensor]],
    many: int,
    split: Split,
    batch_size: int = EVALUATED_AT_ONCE,
) -> list[Score]:
    """As ``evaluate``, of networks in step.

    Args:
        outputs: of each network for the same images.
        many: number of networks.
        split: what they are evaluated on.
        batch_size: images at once.
    """
    # sums stay where they are made until the end: nobody waits for a device in between
    sums = torch.zeros(2, many, dtype=torch.float64, device=split.labels.device)
    for images, labels in batches(split, batch_size):
        for i, logits in enumerate(outputs(images)):
            sums[0, i] += (logits.argmax(-1) == labels).sum()
            sums[1, i] += cross_entropy(logits, labels, reduction="sum")
    return [Score(*(total / split.labelled for total in own)) for own in sums.mT.tolist()]


def cross_entropy(
    logits: Tensor, labels: Tensor, *, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """Of one label for each sample or for each of its places: ``logits [b, ..., classes]``, ``labels [b, ...]``."""
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction=reduction, label_smoothing=label_smoothing
    )
