"""Small layers and networks for the tests of the conversion."""

from collections.abc import Callable

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.linear import Linear as TimmLinear
from timm.layers.std_conv import ScaledStdConv2d, StdConv2d
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.io_parameters import PERFECT
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from tests.algorithms.rigs import COUNT

# equal, tiny steps and far bounds: the pulsed update is the digital one up to its pulse noise
FINE = basic(
    ConstantStep,
    dw_min=1e-6,
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max=10.0,
    w_min=-10.0,
    w_max_dtod=0.0,
    w_min_dtod=0.0,
)


def factory(device: AbstractDevice = FINE) -> TileFactory:
    return TileFactory(
        fast=device,
        slow=device,
        symmetry_point=basic(SymmetryPoint),
        engine=COUNT,
        forward=PERFECT,
        backward=PERFECT,
        population=Stream(1),
        draws=Stream(2),
    )


def build(seed: int, make) -> nn.Module:  # type: ignore[no-untyped-def]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()  # type: ignore[no-any-return]


EXACT: dict[str, Callable[[], nn.Module]] = {  # for images [n, 4, 9, 8]
    "plain": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 8, (3, 2), padding=(1, 0), groups=4, bias=False),
    "dilated": lambda: nn.Conv2d(4, 6, 2, dilation=(2, 3), stride=(1, 2), groups=2),
    "same": lambda: nn.Conv2d(4, 6, (4, 3), padding="same", dilation=(1, 2)),
    "valid": lambda: nn.Conv2d(4, 6, 3, padding="valid"),
    "reflect": lambda: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect"),
    "replicate": lambda: nn.Conv2d(4, 6, 3, padding="same", padding_mode="replicate"),
    "circular": lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", groups=2),
    "timm same": lambda: Conv2dSame(4, 6, 3, stride=2, groups=2),
    "linear": lambda: nn.Linear(8, 5),
    "timm linear": lambda: TimmLinear(8, 5, bias=False),
}


class Doubling(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class OwnConvolution(nn.Conv2d):
    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return 2 * super()._conv_forward(x, weight, bias)


def hooked() -> nn.Module:
    layer = nn.Linear(8, 5)
    layer.register_forward_hook(lambda _, __, out: 2 * out)
    return layer


def replaced() -> nn.Module:
    layer = nn.Linear(8, 5)
    layer.forward = lambda x: 2 * nn.Linear.forward(layer, x)  # type: ignore[method-assign]
    return layer


DIGITAL: dict[str, Callable[[], nn.Module]] = {  # layers that plain crossbars would change
    "standardised": lambda: StdConv2d(4, 6, 3),
    "scaled": lambda: ScaledStdConv2d(4, 6, 3),
    "forward of its own": lambda: Doubling(8, 5),
    "convolution of its own": lambda: OwnConvolution(4, 6, 3),
    "replaced forward": replaced,
    "hooked": hooked,
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(8, 5)),
    "old spectral norm": lambda: spectral_norm(nn.Linear(8, 5)),
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(8, 5), "weight", 0.5),
    "frozen": lambda: nn.Linear(8, 5).requires_grad_(False),
    "double": lambda: nn.Linear(8, 5, dtype=torch.float64),
    "lazy": lambda: nn.LazyLinear(5),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3),
    "1-d": lambda: nn.Conv1d(4, 6, 3),
    "3-d": lambda: nn.Conv3d(4, 6, 3),
}
