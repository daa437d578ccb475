"""Instances side by side: what each does, bit for bit, is what it does alone, whatever the rule, level and engine."""

import operator
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossweep.algorithms.base import AnalogWeight
from crossweep.bench.basic import basic
from crossweep.common import ApartError, common, lift, own
from crossweep.devices.base import AbstractDevice
from crossweep.devices.exp_step import ExpStep
from crossweep.engine.base import EngineParameters
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.nn.instances import joined, scatter
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.rng import Company, Stream
from crossweep.tiles.mapping import TileMapping
from tests.algorithms.rigs import COUNT, DEVICES, factory, normal
from tests.contracts.test_algorithms import ANALOG, ENGINES, SHAPE, rule
from tests.tables import in_pairs

MANY = 3
BACKENDS = [
    "reference",
    "cpu",
    pytest.param("cuda", marks=pytest.mark.slow),
]  # test_cuda_engine.py has quick ones
NOISY = basic(IOParameters, inp_noise=0.05, out_noise=0.06, out_bound=0.5, bound_management="iterative")


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


def inputs(t: int, size: int, lines: int, *groups: int) -> Tensor:
    return torch.stack([normal(1000 * i + t, *groups, size, lines) for i in range(MANY)])


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
    follow(alone, own, [0.3] * MANY)


def follow(
    alone: Sequence[AnalogWeight], own: Sequence[AnalogWeight], rates: Sequence[float], *groups: int
) -> None:
    """A few mini-batches of weights alone, and of the same as one; between them they part and join again."""
    rate = common(rates, "analog_lr")
    for steps in ((0, 1), (2,)):
        whole = joined(own)
        for t in steps:
            x = inputs(t, 5, SHAPE[1], *groups)
            assert torch.equal(
                whole.read(x), torch.stack([w.read(part) for w, part in zip(alone, x, strict=True)])
            )
            x, d = inputs(10 + t, 7, SHAPE[1], *groups), inputs(20 + t, 7, SHAPE[0], *groups)
            back = torch.stack([w.read_transposed(part) for w, part in zip(alone, d, strict=True)])
            assert torch.equal(whole.read_transposed(d), back)
            whole.update(x, d, rate)
            for i, weight in enumerate(alone):
                weight.update(x[i], d[i], rates[i])
        parted(whole, own)
    for first, second in zip(alone, own, strict=True):
        assert_same(state(first), state(second))


@pytest.mark.few(each="name")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize("name", ANALOG)
def test_alone_equals_in_company(name: str, level: str, backend: str) -> None:
    compare(name, "soft_bounds", replace(ENGINES[level], backend=backend))  # type: ignore[arg-type]


@pytest.mark.few(each="name device backend")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", ["exp_step", "relaxing"])
@pytest.mark.parametrize("name", ["cttv2", "analog_sgd", "ttv1"])
def test_alone_equals_in_company_on_other_devices(name: str, device: str, backend: str) -> None:
    compare(name, device, replace(ENGINES["count"], backend=backend))  # type: ignore[arg-type]


@pytest.mark.few(each="name level backend")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize("name", ["cttv2", "analog_sgd", "ttv1", "rider", "mixed_precision"])
def test_alone_equals_in_company_of_points_that_differ_in_what_was_drawn(
    name: str, level: str, backend: str
) -> None:
    compare(name, "soft_bounds", replace(ENGINES[level], backend=backend), points=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
def test_points_on_other_devices(backend: str) -> None:
    compare("cttv2", "exp_step", replace(ENGINES["count"], backend=backend), points=True)  # type: ignore[arg-type]


# what differs between points and acts while they train: one step of each per instance
ACTS = {
    "dw_min": -0.01, "dw_min_dtod": 0.1, "dw_min_std": 0.2, "w_max": -0.05, "write_noise_std": 0.3, "lifetime": 40.0,
    "drift_nu": 0.05, "drift_nu_std": 0.1, "diffusion": 0.001, "reset": 0.01,
}  # fmt: skip
READS = {
    "inp_res": 0.02, "out_res": 0.01, "inp_noise": -0.02, "out_noise": -0.03, "w_noise": 0.02, "ir_drop": 0.3,
    "out_bound": 0.3,
}  # fmt: skip
# of a rule: when columns are read and when rows flip is a matter of all; a mean of squares with factors has one decay
TOGETHER = {"transfer_every", "transfer_growth", "out_chop_prob", "beta2"}


def with_own_numbers(
    name: str,
    engine: EngineParameters,
    *,
    device: Sequence[str] = (),
    io: Sequence[str] = (),
    rules: bool = False,
) -> tuple[list[AnalogWeight], list[float]]:
    """Instances of one weight that differ in numbers which act while they train, and their learning rates."""
    made = []
    for i in range(MANY):
        base = DEVICES["relaxing"]
        own = replace(base, **{key: getattr(base, key) + i * ACTS[key] for key in device})
        reads = replace(NOISY, **{key: getattr(NOISY, key) + i * READS[key] for key in io})
        of_all = rule(name)
        normalised = {"buffer_granularity"} if getattr(of_all, "normalise", "none") != "none" else set()
        numbers = {
            one.name: getattr(of_all, one.name) / (1 + 0.3 * i)
            for one in fields(of_all)
            if isinstance(getattr(of_all, one.name), float)
            and one.name not in TOGETHER | normalised
            and rules
        }
        weight = replace(of_all, **numbers).build(SHAPE, factory(own, engine=engine, io=reads, seed=1 + i))
        weight.set_weight(0.2 * normal(77 + i, *SHAPE))
        made.append(weight)
    one_rate = not rules or name == "mixed_precision_adamw"  # an optimizer of torch has one
    return made, [0.3 if one_rate else 0.3 / (1 + i) for i in range(MANY)]


def compare_numbers(name: str, engine: EngineParameters, **which: Any) -> None:
    (alone, rates), (own, _) = (with_own_numbers(name, engine, **which) for _ in range(2))
    follow(alone, own, rates)


def test_what_one_remembers_of_its_last_mini_batch_is_not_taken_for_all() -> None:
    """They have trained apart before, at the same rate; the numbers of their devices differ."""
    (alone, rates), (own, _) = (
        with_own_numbers("cttv2", ENGINES["count"], device=["dw_min"]) for _ in range(2)
    )
    for weights_ in (alone, own):
        for i, weight in enumerate(weights_):
            weight.update(inputs(50, 7, SHAPE[1])[i], inputs(60, 7, SHAPE[0])[i], rates[i])
    follow(alone, own, rates)


@pytest.mark.few(each="key")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("key", [*ACTS, *READS])
def test_alone_equals_in_company_of_points_that_differ_in_a_number_that_acts(key: str, backend: str) -> None:
    engine = replace(ENGINES["count"], backend=backend)  # type: ignore[arg-type]
    compare_numbers("cttv2", engine, device={key} & ACTS.keys(), io={key} & READS.keys())


@pytest.mark.few(each="name level")
@in_pairs("name,level,backend", ANALOG, ENGINES, ["reference", "cpu"])
def test_alone_equals_in_company_of_points_that_differ_in_all_of_them(
    name: str, level: str, backend: str
) -> None:
    engine = replace(ENGINES[level], backend=backend)  # type: ignore[arg-type]
    compare_numbers(name, engine, device=[*ACTS], io=[*READS], rules=name != "mixed_precision_adamw")


@pytest.mark.few(5)
@pytest.mark.slow
@pytest.mark.parametrize("level", ENGINES)
@pytest.mark.parametrize("name", ANALOG)
def test_alone_equals_in_company_of_points_that_differ_in_all_of_them_on_cuda(name: str, level: str) -> None:
    engine = replace(ENGINES[level], backend="cuda")
    compare_numbers(name, engine, device=[*ACTS], io=[*READS], rules=name != "mixed_precision_adamw")


@pytest.mark.parametrize("backend", BACKENDS)
def test_matrices_of_one_weight_take_the_numbers_of_their_instance(backend: str) -> None:
    """As the groups of a convolution: they have a second leading axis."""
    engine = replace(ENGINES["count"], backend=backend)  # type: ignore[arg-type]
    groups, alone, own = 2, [], []
    for made in (alone, own):
        for i in range(MANY):
            device = replace(DEVICES["soft_bounds"], dw_min=0.05 - 0.01 * i, write_noise_std=0.2 * i)
            of_one = replace(rule("cttv2"), fast_lr=0.3 + 0.1 * i, in_chop_prob=0.3 + 0.1 * i)
            made.append(of_one.build((groups, *SHAPE), factory(device, engine=engine, io=NOISY, seed=1 + i)))
    follow(alone, own, [0.3, 0.2, 0.1], groups)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reads_are_divided_by_the_rate_of_their_own_instance(backend: str) -> None:
    engine, alone, own = replace(ENGINES["count"], backend=backend), [], []  # type: ignore[arg-type]
    for made in (alone, own):
        for i in range(MANY):
            of_one = replace(rule("cttv2"), correct_gradient_magnitudes=True, fast_lr=0.3 + 0.1 * i)
            made.append(
                of_one.build(SHAPE, factory(DEVICES["soft_bounds"], engine=engine, io=NOISY, seed=1 + i))
            )
    follow(alone, own, [0.3, 0.2, 0.1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"device": {"mult_noise": True}},
        {"io": {"out_sto_round": True}},
        {"rule": {"transfer_every": 2.0}},
        {"rule": {"update": basic(UpdateParameters, desired_bl=7)}},
        {"rule": {"forget_buffer": False}},
    ],
)
def test_what_is_no_number_or_a_matter_of_all_cannot_differ(
    changes: dict[str, dict[str, Any]], backend: str
) -> None:
    engine = replace(ENGINES["count"], backend=backend)  # type: ignore[arg-type]
    made = []
    for one in ({}, changes):
        device, io = (
            replace(start, **one.get(key, {}))
            for key, start in (("device", DEVICES["soft_bounds"]), ("io", NOISY))
        )
        of_one = replace(rule("cttv2"), **one.get("rule", {}))
        made.append(of_one.build(SHAPE, factory(device, engine=engine, io=io)))
    with pytest.raises(ApartError, match="differ in"):
        whole = joined(made)
        whole.read(inputs(0, 7, SHAPE[1])[:2])
        whole.update(inputs(10, 7, SHAPE[1])[:2], inputs(20, 7, SHAPE[0])[:2], 0.3)


def test_a_rate_of_zero_and_another_cannot_go_together() -> None:
    own, _ = with_own_numbers("cttv2", COUNT)
    x, d = inputs(10, 7, SHAPE[1]), inputs(20, 7, SHAPE[0])
    with pytest.raises(ApartError, match="differ in whether they train"):
        joined(own).update(x, d, common([0.3, 0.0, 0.3], "analog_lr"))


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

    @property
    def positive(self) -> bool:
        return self.inner.a > 0

    def twice(self) -> float:
        return 2 * self.inner.a


def test_a_field_in_which_instances_differ_cannot_be_read() -> None:
    whole = common([Outer(inner=Inner(a=1.0)), Outer(inner=Inner(a=1.5))])
    assert isinstance(whole, Outer) and whole.c == 3.0 and whole.inner.b == 2.0
    for read in (
        lambda: whole.inner.a,
        lambda: whole.double,
        whole.twice,
        lambda: replace(whole.inner, b=1.0),
        lambda: hash(whole),
    ):
        with pytest.raises(ApartError, match=r"differ in (inner\.a|double),"):
            read()
    assert whole.positive  # all agree in this
    assert [own(whole, i).double for i in range(2)] == [2.0, 3.0]
    assert lift(lambda one: one.double, whole).values == (2.0, 3.0)
    replaced = replace(whole, inner=Inner(a=7.0))
    assert type(replaced) is Outer and replaced == Outer(inner=Inner(a=7.0))
    same = Outer(inner=Inner(a=1.0))
    assert common([same, Outer(inner=Inner(a=1.0))]) is same


def test_numbers_of_each_are_not_calculated_with() -> None:
    number: Any = common([1.0, 1.5], "a")
    one = torch.ones(2)
    for use in (
        lambda: number * 2, lambda: 2 / number, lambda: float(number), lambda: max(0.0, number), lambda: number != 0,
        lambda: not number, lambda: number * one, lambda: one - number, lambda: one.clamp(max=number),
        lambda: torch.full_like(one, number), lambda: np.float32(number),
    ):  # fmt: skip
        with pytest.raises(ApartError, match="differ in a,"):
            use()
    assert torch.equal(number.over(torch.ones(2, 3)), torch.tensor([[1.0], [1.5]]))


UNARY = (
    *("bool", "float", "int", "hash", "round"),
    *(f"operator.{name}" for name in ("neg", "abs", "index")),
)
UNARY = (*UNARY, *(f"math.{name}" for name in ("ceil", "floor", "trunc", "isfinite")))
BINARY = ("lt", "le", "eq", "ne", "ge", "gt", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow")


@pytest.mark.parametrize("name", UNARY)
def test_a_number_of_each_is_no_number(name: str) -> None:
    function: Any = pkgutil.resolve_name(name if "." in name else f"builtins.{name}")
    with pytest.raises(ApartError, match="differ in a,"):
        function(common([1.0, 1.5], "a"))


@pytest.mark.parametrize("name", BINARY)
def test_a_number_of_each_is_compared_and_combined_with_nothing(name: str) -> None:
    function, number = getattr(operator, name), common([1.0, 1.5], "a")
    for given in ((number, 2.0), (2.0, number), (number, number)):
        with pytest.raises(ApartError, match="differ in a,"):
            function(*given)


def test_numbers_in_tensors_differ_without_a_look_at_them() -> None:
    whole = common([Inner(a=torch.tensor(one)) for one in (1.0, 1.0)])  # type: ignore[arg-type]
    with pytest.raises(ApartError, match="differ in a,"):
        _ = whole.a
    found = lift(lambda one: 2 * one.a, whole)
    assert torch.equal(found.over(torch.ones(2, 3)), torch.full((2, 1), 2.0)) and float(own(found, 1)) == 2.0


def test_what_acts_where_weights_are_written_may_differ() -> None:
    tiled = [
        TiledWeight(
            0.2 * normal(1, *SHAPE), rule("cttv2"), basic(TileMapping, omega=0.4 + 0.1 * i),
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
