"""AGAD writes nothing before every column has seen a period of its chopper: that has to be a small part of a training."""

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from crossweep.algorithms.agad import AGAD
from crossweep.build import plain
from crossweep.nodes import make
from crossweep.paths import conf_dir, version_base
from tests.algorithms.catalogue import load
from tests.algorithms.test_chopper_turns import moment

# images of the target task that the default training sees in an epoch, and their shape
IMAGES = {"digits": (864, (1, 8, 8)), "cifar": (4500, (3, 32, 32))}


def reads(data: str) -> dict[str, float]:
    """How often a column of each layer of the default network is read in the default training."""
    with initialize_config_dir(str(conf_dir()), **version_base()):
        config: dict[str, Any] = plain(compose("train", overrides=[f"data={data}"]))
    images, shape = IMAGES[data]
    samples: dict[str, float] = {}
    net = make(config["model"], "model").build(shape, 10, torch.Generator().manual_seed(0))

    def count(name: str) -> Any:
        def hook(layer: nn.Linear | nn.Conv2d, given: tuple[Tensor, ...], out: Tensor) -> None:
            rows = out.numel() // layer.weight.shape[0]  # one image
            samples[name] = config["training"]["finetune"]["epochs"] * images * rows / layer.weight[0].numel()

        return hook

    for name, layer in net.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.register_forward_hook(count(name))
    net.eval()(torch.zeros(1, *shape))
    return samples


@pytest.mark.parametrize("data", IMAGES)
@pytest.mark.parametrize("rule", ["agad", "agad_adam", "erider"])
def test_the_silence_is_a_small_part_of_the_shortest_training(rule: str, data: str) -> None:
    """The head is read least: one sample per image, as many columns as the last stage has channels."""
    made = load(rule)
    assert isinstance(made, AGAD)
    silent = made.chopper(moment(200, 32)).period + 1
    share = {name: silent / many for name, many in reads(data).items()}
    assert max(share.values()) < 0.15, {name: round(part, 2) for name, part in share.items() if part > 0.15}
