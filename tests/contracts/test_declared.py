"""A subclass that a compiled kernel would not see is refused where it is defined, or runs as it is written."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.agad import AGADWeight
from crossweep.algorithms.base import AnalogWeight
from crossweep.algorithms.cttv2 import CTTv2, CTTv2Weight
from crossweep.algorithms.erider import ERIDERWeight
from crossweep.algorithms.mrl import MRLWeight
from crossweep.algorithms.rlv2 import RLv2Weight
from crossweep.algorithms.ttv1 import TTv1Weight
from crossweep.algorithms.ttv2 import TTv2Weight
from crossweep.devices.base import Cells
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.response import Affine
from crossweep.errors import ConfigError
from crossweep.tiles.engine.base import Crossbar
from crossweep.tiles.engine.count import CountEngine
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters
from tests.algorithms.rigs import factory, ideal, normal, soft

RULES = (TTv1Weight, TTv2Weight, CTTv2Weight, AGADWeight, RLv2Weight, ERIDERWeight, MRLWeight)


def derived(kind: type, *names: str) -> type:
    """A subclass that gives some methods anew."""
    return type("Mine", (kind,), {name: lambda self, *_: None for name in names})


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(
    "method",
    ["transfer", "digest", "fill", "release", "flips_after", "signs", "gains", "write", "write_slow"],
)
def test_a_rule_says_to_the_kernels_what_it_says_to_torch(kind: type[AnalogWeight], method: str) -> None:
    if not hasattr(kind, method):
        pytest.skip("not a method of this rule")
    with pytest.raises(
        ConfigError, match=rf"Mine\.{method}: the compiled kernels follow .*(what_reads|rule_of)"
    ):
        derived(kind, method)
    declaration = "rule_of_reads" if method in ("fill", "release") else "what_reads_do"
    derived(derived(kind, method, declaration))  # and what does not touch it is free


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twice(ConstantStep):
    """Steps of twice the size."""

    def response(self, cells: Cells) -> Affine:
        mine = super().response(cells)
        return dataclasses.replace(mine, up=2 * mine.up, down=2 * mine.down)


class Reversed(CTTv2Weight):
    """Reads go into the buffer with the wrong sign."""

    def fill(self, value: Tensor, *rest: Any) -> Tensor:
        return super().fill(-value, *rest)

    def rule_of_reads(self) -> None:  # type: ignore[override]
        return None


class TwiceAsMany(CountEngine):
    """Every mini-batch comes twice."""

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Any
    ) -> tuple[Tensor, Tensor]:
        for _ in range(2):
            v, pulses = super().apply(v, plan, bar, update, stream)
        return v, 2 * pulses


RULE = CTTv2(in_chop_prob=0.0, auto_granularity=100.0, update=UpdateParameters(desired_bl=31))


def trained(weight: AnalogWeight) -> AnalogWeight:
    x = normal(1, 40, 5)
    for _ in range(5):
        weight.update(x, x @ normal(3, 4, 5).T, 0.3)
    return weight


def test_a_device_of_its_own_is_what_trains() -> None:
    """Pulses of twice the size reach twice as far: in the compiled windows of a transfer rule, too."""
    far = {"w_max": 100.0, "w_min": -100.0}  # bounds that no pulse reaches
    devices = Twice(**vars(ideal(1e-3, **far))), ideal(1e-3, **far), ideal(2e-3, **far)
    ours, theirs, plain = (
        trained(RULE.build((4, 5), factory(device, ideal(0.01), engine=CountEngine()))) for device in devices
    )
    fast = [weight.tiles()["fast"].weight.norm() for weight in (ours, theirs, plain)]
    assert fast[0] > 1.7 * fast[1] and torch.isclose(fast[0], fast[2], rtol=0.1)


def test_a_rule_of_its_own_is_what_trains() -> None:
    class Mine(CTTv2):
        def build(self, shape: tuple[int, ...], made: Any) -> CTTv2Weight:
            return Reversed(shape, self, made)

    device = ideal(0.01)
    right, wrong = (
        trained(rule.build((4, 5), factory(device, engine=CountEngine()))).tiles()["slow"].weight
        for rule in (RULE, Mine(**vars(RULE)))
    )
    assert float((right * wrong).sum()) < -0.5 * float(right.norm() * wrong.norm()) < 0


def test_an_engine_of_its_own_is_what_trains() -> None:
    given = [
        float(trained(RULE.build((4, 5), factory(soft(0.01), engine=engine))).tiles()["fast"].pulses_given)
        for engine in (CountEngine(), TwiceAsMany())
    ]
    assert given[1] == pytest.approx(2 * given[0], rel=0.2)
