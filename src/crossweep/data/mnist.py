"""MNIST: handwritten digits, the common ground of the field's published tables."""

from dataclasses import dataclass

from torchvision.datasets import MNIST

from crossweep.data.idx import IdxData


@dataclass(frozen=True, kw_only=True)
class Mnist(IdxData):
    """28x28 grey images, about 6000 + 1000 of each digit, in `MNIST/raw`; see `IdxData`.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition,
        Proc. IEEE 86:2278 (1998).
    """

    dataset = MNIST
    title = "MNIST"
    mean, std = (0.1307,), (0.3081,)  # [1] of the 60,000 training images, the values in common use
