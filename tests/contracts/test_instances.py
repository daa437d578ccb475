"""Instances side by side: what each does, bit for bit, is what it does alone, whatever the rule, level and engine."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.base import AnalogWeight
from crossweep.devices.base import AbstractDevice
from crossweep.engine.base import EngineParameters
from crossweep.engine.io_parameters import IOParameters
from crossweep.nn.instances import ApartError, gather, scatter
from crossweep.rng import Company, Stream
from tests.algorithms.rigs import DEVICES, factory, normal
from tests.contracts.test_algorithms import ANALOG, ENGINES, SHAPE, rule

MANY = 3
NOISY = IOParameters(inp_noise=0.05, out_noise=0.06, out_bound=0.5, bound_management="iterative")


def weights(
    name: str, device: AbstractDevice, engine: EngineParameters, io: IOParameters
) -> list[AnalogWeight]:
    """Instances of one weight: seeds and contents differ."""
    made = []
    for i in range(MANY):
        weight = rule(name).build(SHAPE, factory(device, engine=engine, io=io, seed=1 + i))
        weight.set_weight(0.2 * normal(77 + i, *SHAPE))
        made.append(weight)
    return made


def joined(own: Sequence[AnalogWeight]) -> AnalogWeight:
    """All of them as one."""
    whole = copy.deepcopy(own[0])
    for key, module in whole.named_modules():
        gather(module, [weight.get_submodule(key) for weight in own])
    return whole


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


def compare(name: str, device: str, engine: EngineParameters, io: IOParameters = NOISY) -> None:
    alone = weights(name, DEVICES[device], engine, io)
    own = weights(name, DEVICES[device], engine, io)
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
