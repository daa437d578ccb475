"""What a subclass of a rule, a device or an engine says anew is what trains, on every engine."""

import dataclasses
from dataclasses import replace
from types import FunctionType
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.base import AnalogWeight
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.erider import ERIDER
from crossweep.algorithms.moment import Moment
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.rider import RIDER
from crossweep.algorithms.rlv2 import RLv2
from crossweep.algorithms.tiki_taka import TikiTaka
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv1 import TTv1
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.devices.base import Cells
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.response import Affine
from crossweep.engine.base import EngineParameters
from crossweep.engine.program import Buffered, Own
from crossweep.engine.pulse_plan import UpdateParameters
from tests.algorithms.rigs import COUNT, factory, ideal, normal, soft

RULES = (TTv1, TTv2, CTTv2, AGAD, RLv2, RIDER, ERIDER, MRL, TTAdam)


def methods(kind: type) -> list[str]:
    """What a rule's own classes define, besides its parameters."""
    own = [part for part in kind.__mro__ if issubclass(part, (TikiTaka, Chopped))]
    found = {
        name
        for part in own
        for name, value in vars(part).items()
        if isinstance(value, (FunctionType, property))
    }
    return sorted(name for name in found if not name.startswith("__"))


class Called(Exception):
    """A method was looked at."""


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(("kind", "method"), [(kind, name) for kind in RULES for name in methods(kind)])
def test_nothing_of_a_rule_can_be_overridden_without_effect(
    kind: type[TikiTaka], method: str, backend: Literal["reference", "cpu"]
) -> None:
    """Whatever a subclass gives anew, training calls it: on the compiled engine, too."""

    def seen(self: Any, *_: Any, **__: Any) -> None:
        raise Called

    replaced = property(seen) if isinstance(getattr(kind, method), property) else seen
    mine = type("Mine", (kind,), {method: replaced})
    engine = basic(EngineParameters, level="count", backend=backend)
    with pytest.raises(Called):
        weight = basic(mine).build((4, 5), factory(soft(0.05), engine=engine))
        weight.set_weight(torch.zeros(4, 5))
        weight.update(normal(1, 7, 5), normal(2, 7, 4), 0.3)
        weight.end_epoch(1.0)
        weight.weight  # noqa: B018


def test_the_state_of_a_rule_has_nothing_to_override() -> None:
    with pytest.raises(TypeError, match=r"Mine: a rule of one's own is a program"):
        type("Mine", (ChainWeight,), {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twice(ConstantStep):
    """Steps of twice the size."""

    def response(self, cells: Cells) -> Affine:
        mine = super().response(cells)
        return dataclasses.replace(mine, up=2 * mine.up, down=2 * mine.down)


class Reversed(CTTv2):
    """Reads go into the buffer with the wrong sign."""

    def what(self, j: int, now: Moment) -> Buffered:
        made = super().what(j, now)
        return replace(made, scale=-made.scale)


class Summed(TTv2):
    """TTv2 with a buffer written in torch."""

    def what(self, j: int, now: Moment) -> Own:  # type: ignore[override]
        data = super().what(j, now)
        scale, longest = data.scale, data.write.update.desired_bl

        def digest(read: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
            filled = held + read * scale
            n = filled.trunc().clamp(-longest, longest)
            return n, torch.where(n == 0, filled, 0.0)

        return Own(digest=digest, write=data.write)


RULE = basic(CTTv2, in_chop_prob=0.0, auto_granularity=100.0, update=basic(UpdateParameters, desired_bl=31))


def trained(weight: AnalogWeight) -> AnalogWeight:
    x = normal(1, 40, 5)
    for _ in range(5):
        weight.update(x, x @ normal(3, 4, 5).T, 0.3)
    return weight


def test_a_device_of_its_own_is_what_trains() -> None:
    """Pulses of twice the size reach twice as far: in the compiled windows of a transfer rule, too."""
    far = {"w_max": 100.0, "w_min": -100.0}  # bounds that no pulse reaches
    devices = basic(Twice, **vars(ideal(1e-3, **far))), ideal(1e-3, **far), ideal(2e-3, **far)
    ours, theirs, plain = (
        trained(RULE.build((4, 5), factory(device, ideal(0.01), engine=COUNT))) for device in devices
    )
    fast = [weight.tiles()["fast"].weight.norm() for weight in (ours, theirs, plain)]
    assert fast[0] > 1.7 * fast[1] and torch.isclose(fast[0], fast[2], rtol=0.1)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_rule_of_its_own_is_what_trains(backend: Literal["reference", "cpu"]) -> None:
    engine = basic(EngineParameters, level="count", backend=backend)
    right, wrong = (
        trained(rule.build((4, 5), factory(ideal(0.01), engine=engine))).tiles()["slow"].weight
        for rule in (RULE, basic(Reversed, **vars(RULE)))
    )
    assert float((right * wrong).sum()) < -0.5 * float(right.norm() * wrong.norm()) < 0


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_what_happens_to_a_read_may_be_python(backend: Literal["reference", "cpu"]) -> None:
    """The reference's loop runs it, and says why no compiled call does; it trains as the same rule as data."""
    keys: dict[str, Any] = {"auto_granularity": 20.0, "update": basic(UpdateParameters, desired_bl=31)}
    engine = basic(EngineParameters, level="count", backend=backend)
    as_data, as_python = (
        trained(rule.build((4, 5), factory(ideal(0.01, w_max=100.0, w_min=-100.0), engine=engine)))
        for rule in (basic(TTv2, **keys), basic(Summed, **keys))
    )
    assert isinstance(as_python, ChainWeight)
    why = as_python.refuses()
    assert why == (
        "what happens to a read is Python" if backend == "cpu" else "the reference goes window by window"
    )
    assert as_data.slow.pulses > 0
    for name, tensor in as_data.named_buffers():
        torch.testing.assert_close(tensor, dict(as_python.named_buffers())[name], atol=1e-5, rtol=0)
