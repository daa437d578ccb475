"""Whole training steps: forward, backward, pulsed update and optimizer, against the same model in digital."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.bench.basic import basic
from crossweep.bench.updates import LEVELS
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import Backend
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.models.timm_model import TimmModel
from crossweep.nn.convert import analog_weights, convert
from crossweep.nn.convertible import convertible
from crossweep.nn.instances import Instances
from crossweep.nn.tiled_weight import update_all
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping
from crossweep.training.graph import Graph, Steps

MODELS: dict[str, dict[str, Any]] = {
    "swin_micro": {
        "patch_size": 4,
        "window_size": 4,
        "embed_dim": 64,
        "depths": (2, 2, 2),
        "num_heads": (2, 4, 8),
    },
    "swin_tiny": {"patch_size": 2, "window_size": 4},
}
LR = 1e-3  # so small that a model fed the same batch again and again does not run away
PERIPHERIES = {"perfect": PERFECT, "preset": basic(IOParameters)}


def digital_model(name: str) -> nn.Module:
    """A fresh model for 32 x 32 colour images and 10 classes."""
    model = TimmModel(name="swin_tiny_patch4_window7_224", pretrained=False, kwargs=MODELS[name])
    return model.build((3, 32, 32), 10, torch.Generator().manual_seed(0))


def analog_model(
    digital: nn.Module,
    rule: str,
    level: str,
    bl: int,
    io: str,
    torch_device: str = "cpu",
    *,
    backend: Backend = "auto",
) -> nn.Module:
    """A copy of ``digital`` with all its linear layers on crossbars."""
    update = basic(UpdateParameters, desired_bl=bl)
    rules: dict[str, AbstractAlgorithm] = {
        "cttv2": basic(CTTv2, fast_lr=0.5, auto_granularity=1000.0, update=update),
        "agad": basic(AGAD, fast_lr=0.5, auto_granularity=1000.0, update=update),
        "analog_sgd": basic(AnalogSGD, update=update),
    }
    device = basic(SoftBounds, dw_min=0.01, dw_min_dtod=0.3, up_down_dtod=0.1, w_max=1.0, w_min=-1.0)
    factory = TileFactory(
        fast=device, slow=device, symmetry_point=basic(SymmetryPoint),
        engine=replace(LEVELS[level], backend=backend),
        forward=PERIPHERIES[io],
        backward=PERIPHERIES[io], population=Stream(2), draws=Stream(3), torch_device=torch_device,
    )  # fmt: skip
    model = copy.deepcopy(digital).to(torch_device)
    linear = [name for name, layer in convertible(model).items() if isinstance(layer, nn.Linear)]
    convert(model, linear, rules[rule], basic(TileMapping), factory)
    return model


def stepper(
    model: nn.Module, batch: int = 64, torch_device: str = "cpu", *, graph: Callable[[], Graph] | None = None
) -> Callable[[], Any]:
    """A call that makes one training step; with ``graph`` the second one captures it, and further ones replay it."""
    images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(torch_device)
    labels = (torch.arange(batch) % 10).to(torch_device)
    model.to(torch_device)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
    weights = list(analog_weights(model).values())

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_all(weights, LR)
        return (loss.detach(),)

    return partial(step if graph is None else Steps(step, model, make=graph), images, labels)


def together(models: Sequence[nn.Module], batch: int = 64, torch_device: str = "cpu") -> Callable[[], None]:
    """A call that makes one training step of several instances side by side."""
    given = torch.Generator().manual_seed(1)
    images = torch.randn(len(models), batch, 3, 32, 32, generator=given).to(torch_device)
    labels = (torch.arange(batch) % 10).expand(len(models), batch).to(torch_device)
    instances = Instances(models)
    optimizer = torch.optim.SGD(instances.parameters.values(), lr=LR, momentum=0.9)
    weights = list(analog_weights(instances.whole).values())

    def step() -> None:
        outputs = instances(images)
        losses = [cross_entropy(logits, own) for logits, own in zip(outputs, labels, strict=True)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        update_all(weights, LR)

    return step
