"""Fashion-MNIST: some kinds of clothing are the source, others the target."""

from dataclasses import dataclass

from torchvision.datasets import FashionMNIST as TorchvisionFashionMNIST

from crossweep.data.idx import IdxData


@dataclass(frozen=True, kw_only=True)
class FashionMnist(IdxData):
    """28x28 grey images, 6000 + 1000 of each of ten kinds of clothing, in `FashionMNIST/raw`; see `IdxData`.

    Source: H. Xiao et al., Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms,
        arXiv 1708.07747, 2017.
    """

    dataset = TorchvisionFashionMNIST
    title = "Fashion-MNIST"
    mean, std = (0.2860,), (0.3530,)  # [1] of the 60,000 training images, the values in common use
