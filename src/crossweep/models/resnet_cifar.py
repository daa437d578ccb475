"""The small ResNets made for CIFAR, which are not among timm's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from crossweep.models.base import AbstractModel, InputShape
from crossweep.schema import Count


@dataclass(frozen=True, kw_only=True)
class ResNetCifar(AbstractModel):
    """3x3 convolution, then three stages of basic blocks with widths w, 2w, 4w, average pooling, classifier.

    Args:
        blocks: basic blocks per stage n [1], >= 1; the depth is 6 n + 2 layers.
        width: channels w of the first stage [1], >= 1.
        stem_stride: of the first convolution [pixel], >= 1; 1 in the source, 2 quarters the cost of all stages.

    Raises:
        ConfigError: a value is out of range.

    Source: K. He et al., Deep residual learning for image recognition, CVPR 2016, section 4.2; shortcuts
        without weights (option A).
    """

    blocks: Count
    width: Count
    stem_stride: Count

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        return ResNetCifarNet(input_shape[0], self.blocks, self.width, self.stem_stride, classes)


class ResNetCifarNet(nn.Module):
    """The network of `ResNetCifar`."""

    def __init__(self, channels: int, blocks: int, width: int, stem_stride: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(channels, width, stem_stride), nn.BatchNorm2d(width), nn.ReLU())
        widths = [width, width, 2 * width, 4 * width]
        self.stages = nn.Sequential(
            *(_stage(widths[i], widths[i + 1], blocks, stride=1 if i == 0 else 2) for i in range(3))
        )
        self.fc = nn.Linear(widths[-1], classes)
        self.feature_info: list[dict[str, Any]] = [{"module": f"stages.{i}"} for i in range(3)]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.stem(images))
        return self.fc(features.mean((2, 3)))  # type: ignore[no-any-return]

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        self.fc = nn.Linear(self.fc.in_features, num_classes)


class BasicBlock(nn.Module):
    """relu(x' + conv(relu(conv(x)))), batch-normalised; x' is x, subsampled and padded with zero channels."""

    def __init__(self, x_size: int, d_size: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(x_size, d_size, stride), nn.BatchNorm2d(d_size)
        self.conv2, self.bn2 = _conv(d_size, d_size, 1), nn.BatchNorm2d(d_size)
        self.stride, self.extra = stride, d_size - x_size

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(shortcut + residual)


def _stage(x_size: int, d_size: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(x_size, d_size, stride)
    return nn.Sequential(first, *(BasicBlock(d_size, d_size, 1) for _ in range(blocks - 1)))


def _conv(x_size: int, d_size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(x_size, d_size, 3, stride=stride, padding=1, bias=False)
