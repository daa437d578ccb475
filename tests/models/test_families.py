"""One network of every family that timm knows: on ideal devices it computes what it computes digitally."""

import copy
from warnings import catch_warnings, simplefilter

import pytest
import timm
import torch

from crossweep.algorithms.digital import Digital
from crossweep.bench.basic import basic
from crossweep.errors import ConfigError
from crossweep.models.parts import parts
from crossweep.models.timm_model import TimmModel
from crossweep.nn.convert import convert, select
from crossweep.nn.self_check import self_check
from crossweep.tiles.mapping import TileMapping
from tests.models.options import CIFAR, build
from tests.nn.networks import factory

# what timm calls its small networks, the smallest first; a family's member with the earliest hint stands for it
TINY = (
    *("test_", "atto", "femto", "pico", "nano", "xxs", "xx_small", "xxtiny"),
    *("micro", "mini", "tiny", "xs", "_t0", "_s0", "_m0"),
)
SMALL = (
    *TINY,
    "_m1",
    "_s1",
    "_w18_small",
    "_small",
    "_s",
    "_l1",
    "14",
    "18",
    "26",
    "_b0",
    "_a",
    "002",
    "050",
    "100",
)


def smallest(module: str) -> str:
    names = set(timm.list_models(module=module)) - set(timm.models.get_deprecated_models(module))
    return min(names, key=lambda name: (hint(name), len(name), name))


def hint(name: str) -> int:
    return next((i for i, word in enumerate(SMALL) if word in name), len(SMALL))


FAMILIES = {module: smallest(module) for module in timm.list_modules() if timm.list_models(module=module)}


def cases() -> list[object]:
    return [
        pytest.param(name, marks=[] if hint(name) < len(TINY) else pytest.mark.slow, id=f"{module}-{name}")
        for module, name in FAMILIES.items()
    ]


def test_there_are_enough_families() -> None:
    assert len(FAMILIES) > 90 and sum(hint(name) < len(TINY) for name in FAMILIES.values()) >= 40


@pytest.mark.few(10)
@pytest.mark.parametrize("name", cases())
def test_ideal_devices_change_nothing(name: str) -> None:
    with catch_warnings():
        simplefilter("ignore")  # timm's own
        network = build(TimmModel(name=name, pretrained=False, image_size="auto"), CIFAR).eval()
    images = torch.rand(2, *CIFAR, generator=torch.Generator().manual_seed(0))
    names, mapping = select(network, "all", parts(network)), basic(TileMapping)
    try:
        self_check(network, names, mapping, factory(), images)
    except ConfigError as error:
        assert "analog.exclude=[" in str(error) and "\n" not in str(error)
        return
    analog = copy.deepcopy(network)
    table = convert(analog, names, Digital(), mapping, factory())
    assert sum(row.share for row in table) == pytest.approx(1)
    with torch.no_grad():
        want, got = network(images), analog(images)
    assert (got - want).norm() <= 1e-3 * want.norm()  # float32 through a deep network; faults are above 0.1
