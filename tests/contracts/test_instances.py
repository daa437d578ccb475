"""Instances side by side: what each does, bit for bit, is what it does alone, whatever the rule, level and engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.base import AnalogWeight
from crossweep.devices.base import AbstractDevice
from crossweep.devices.exp_step import ExpStep
from crossweep.engine.base import EngineParameters
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.nn.common import ApartError, common
from crossweep.nn.instances import joined, scatter
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.rng import Company, Stream
from crossweep.tiles.mapping import TileMapping
from tests.algorithms.rigs import DEVICES, factory, normal
from tests.contracts.test_algorithms import ANALOG, ENGINES, SHAPE, rule

MANY = 3
NOISY = IOParameters(inp_noise=0.05, out_noise=0.06, out_bound=0.5, bound_management="iterative")


# what differs between points and acts only where devices are drawn: one step of each per instance
DRAWN = {
    "up_down": 0.1,
    "up_down_dtod": 0.1,
    "w_max_dtod": 0.05,
    "w_min_dtod": 0.1,
    "corrupt_devices_prob": 0.2,
}
POINT = {"skew": 0.1, "variability": 0.2}


def weights(
    name: str, device: AbstractDevice, engine: EngineParameters, io: IOParameters, *, points: bool = False
) -> list[AnalogWeight]:
    """Instances of one weight: seeds and contents differ, and with ``points`` what devices are drawn with."""
    made = []
    for i in range(MANY):
        own, point = device, {}
        if points:
            keys = DRAWN.keys() - (
                {"up_down"} if isinstance(device, ExpStep) else set()
            )  # part of its granularity
            own = replace(device, **{key: getattr(device, key) + i * DRAWN[key] for key in keys})
            point = {key: i * by for key, by in POINT.items()}
        weight = rule(name).build(SHAPE, factory(own, engine=engine, io=io, seed=1 + i, **point))
        weight.set_weight(0.2 * normal(77 + i, *SHAPE))
        made.append(weight)
    return made


def parted(whole: AnalogWeight, own: Sequence[AnalogWeight]) -> None:
    """Each its own again."""
    for key, module in whole.named_modules():
        scatter(module, [weight.get_submodule(key) for weight in own])


def inputs(t: int, size: int, lines: int) -> Tensor:
    return torch.stack([normal(1000 * i + t, size, lines) for i in range(MANY)])


def state(weight: AnalogWeight) -> dict[str, Any]:
    buffers: dict[str, Any] = {name: tensor.clone() for name, tensor in weight.named_buffers()}
    return buffers | {"counters": weight.counters(), "tally": weight.tally.as_dict()}


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, second[name]), name
    assert first["tally"] == second["tally"]


def compare(name: str, device: str, engine: EngineParameters, *, points: bool = False) -> None:
    alone = weights(name, DEVICES[device], engine, NOISY, points=points)
    own = weights(name, DEVICES[device], engine, NOISY, points=points)
    whole = joined(own)
    for t in range(3):
        x = inputs(t, 5, SHAPE[1])
        assert torch.equal(
            whole.read(x), torch.stack([w.read(part) for w, part in zip(alone, x, strict=True)])
        )
        x, d = inputs(10 + t, 7, SHAPE[1]), inputs(20 + t, 7, SHAPE[0])
        back = torch.stack([w.read_transposed(part) for w, part in zip(alone, d, strict=True)])
        assert torch.equal(whole.read_transposed(d), back)
        whole.update(x, d, 0.3)
        for i, weight in enumerate(alone):
            weight.update(x[i], d[i], 0.3)
    parted(whole, own)
    for first, second in zip(alone, own, strict=True):
        assert_same(state(first), state(second))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize("name", ANALOG)
def test_alone_equals_in_company(name: str, level: str, backend: str) -> None:
    compare(name, "soft_bounds", replace(ENGINES[level], backend=backend))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("device", ["exp_step", "relaxing"])
@pytest.mark.parametrize("name", ["cttv2", "analog_sgd", "ttv1"])
def test_alone_equals_in_company_on_other_devices(name: str, device: str, backend: str) -> None:
    compare(name, device, replace(ENGINES["count"], backend=backend))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize("name", ["cttv2", "analog_sgd", "ttv1", "rider", "mixed_precision"])
def test_alone_equals_in_company_of_points_that_differ_in_what_was_drawn(
    name: str, level: str, backend: str
) -> None:
    compare(name, "soft_bounds", replace(ENGINES[level], backend=backend), points=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_points_on_other_devices(backend: str) -> None:
    compare("cttv2", "exp_step", replace(ENGINES["count"], backend=backend), points=True)  # type: ignore[arg-type]


ACTS = {
    "dw_min": 0.01, "dw_min_std": 0.1, "write_noise_std": 0.1, "n_states": 30.0, "mult_noise": True, "lifetime": 40.0,
    "drift_nu": 0.1, "diffusion": 0.001,
}  # fmt: skip


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize("key", ACTS)
def test_what_acts_while_devices_are_pulsed_cannot_differ(key: str, level: str, backend: str) -> None:
    """Never silently the number of the first instance."""
    engine = replace(ENGINES[level], backend=backend)  # type: ignore[arg-type]
    made = [DEVICES["soft_bounds"], replace(DEVICES["soft_bounds"], **{key: ACTS[key]})]
    with pytest.raises(ApartError, match=r"differ|built alike"):
        own = [rule("cttv2").build(SHAPE, factory(device, engine=engine, io=NOISY)) for device in made]
        joined(own).update(inputs(10, 7, SHAPE[1])[:2], inputs(20, 7, SHAPE[0])[:2], 0.3)


@pytest.mark.parametrize("name", [name for name in ANALOG if name != "zero_shifting"])
def test_rules_and_peripheries_cannot_differ(name: str) -> None:
    engine, device = ENGINES["count"], DEVICES["soft_bounds"]
    first = rule(name).build(SHAPE, factory(device, engine=engine, io=NOISY))
    other_io = rule(name).build(SHAPE, factory(device, engine=engine, io=replace(NOISY, out_noise=0.1)))
    with pytest.raises(ApartError, match="differ in forward_io"):
        joined([first, other_io])
    key = "update" if hasattr(rule(name), "update") else "lr_scale"
    changed = {"update": UpdateParameters(desired_bl=7), "lr_scale": 0.7}[key]
    other_rule = replace(rule(name), **{key: changed})
    with pytest.raises(ApartError, match="differ in rule"):
        joined([first, other_rule.build(SHAPE, factory(device, engine=engine, io=NOISY))])


@dataclass(frozen=True, kw_only=True)
class Inner:
    a: float
    b: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    c: float = 3.0

    @property
    def double(self) -> float:
        return 2 * self.inner.a


def test_a_field_in_which_instances_differ_cannot_be_read() -> None:
    whole = common([Outer(inner=Inner(a=1.0)), Outer(inner=Inner(a=1.5))])
    assert isinstance(whole, Outer) and whole.c == 3.0 and whole.inner.b == 2.0
    for read in (
        lambda: whole.inner.a,
        lambda: whole.double,
        lambda: replace(whole.inner, b=1.0),
        lambda: hash(whole),
    ):
        with pytest.raises(ApartError, match=r"differ in inner\.a"):
            read()
    same = Outer(inner=Inner(a=1.0))
    assert common([same, Outer(inner=Inner(a=1.0))]) is same


def test_what_acts_where_weights_are_written_may_differ() -> None:
    tiled = [
        TiledWeight(
            0.2 * normal(1, *SHAPE), rule("cttv2"), TileMapping(omega=0.4 + 0.1 * i),
            factory(DEVICES["soft_bounds"], io=NOISY), transfer_noise=0.1 * i,
        )
        for i in range(MANY)
    ]  # fmt: skip
    x = inputs(0, 6, SHAPE[1])
    alone = torch.stack([one.read(part) for one, part in zip(tiled, x, strict=True)])
    for one in tiled:  # the draws of the reads begin again
        one.parts()[0].reads.load_state_dict({})
    whole = joined([one.parts()[0] for one in tiled])
    assert torch.equal(whole.read(x) * whole.scale.mT, alone)
    assert len({float(part.scale.flatten()[0]) for one in tiled for part in one.parts()}) == MANY


def test_they_can_part_and_meet_again() -> None:
    alone, own = (weights("agad", DEVICES["soft_bounds"], ENGINES["count"], NOISY) for _ in range(2))
    for t in range(4):
        whole = joined(own)
        x, d = inputs(10 + t, 7, SHAPE[1]), inputs(20 + t, 7, SHAPE[0])
        whole.update(x, d, 0.3)
        parted(whole, own)
        for i, weight in enumerate(alone):
            weight.update(x[i], d[i], 0.3)
    for first, second in zip(alone, own, strict=True):
        assert_same(state(first), state(second))


def test_who_is_out_of_step_cannot_join() -> None:
    own = weights("cttv2", DEVICES["soft_bounds"], ENGINES["count"], NOISY)
    own[1].update(inputs(1, 1, SHAPE[1])[0], inputs(2, 1, SHAPE[0])[0], 0.3)
    with pytest.raises(ApartError, match="not in step"):
        joined(own)


def test_a_company_draws_what_its_members_draw_alone() -> None:
    like = torch.empty(0)
    company = Company([Stream(seed).fork("a") for seed in range(MANY)])
    drawn = company.fork("b").normal(MANY, 2, 3, like=like), company.fork("b").uniform(MANY, 4, like=like)
    for seed in range(MANY):
        own = Stream(seed).fork("a").fork("b")
        assert torch.equal(drawn[0][seed], own.normal(2, 3, like=like))
        assert torch.equal(drawn[1][seed], own.uniform(4, like=like))
        assert company.at((seed, 5)).path == "/a"
    with pytest.raises(ValueError, match="cannot share"):
        company.normal(2, 3, like=like)
    for needs_one in (company.next_key, company.generator, company.state_dict):
        with pytest.raises(ValueError, match="of its own"):
            needs_one()
