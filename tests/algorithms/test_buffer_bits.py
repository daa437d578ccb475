"""Digital numbers in few bits: what is left of them, and that it changes nothing but that."""

import copy

import pytest
import torch

from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.tiki_taka import BufferedTransfer
from crossweep.engine.rounded import fixed, floating
from crossweep.errors import ConfigError
from crossweep.rng import Company, Stream
from tests import expect
from tests.algorithms.catalogue import load
from tests.algorithms.rigs import factory, normal, soft
from tests.contracts.test_algorithms import ENGINES, same, state

RULES = ("cttv2", "agad", "tt_adam", "agad_adam")


@pytest.mark.parametrize("number", [0.3, -0.7, 0.001, 0.0])
def test_fixed_numbers_are_multiples_whose_mean_is_the_number(number: float) -> None:
    n, step = 20000, 2.0 * 2**-7
    found = fixed(torch.full((n,), number), 8, 2.0, torch.rand(n, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(found / step, (found / step).round()) and found.unique().numel() <= 2
    expect.mean(found.double().numpy(), number, std=step / 2, detects=step / 10)


def test_fixed_numbers_stay_below_their_span() -> None:
    ends = fixed(torch.tensor([-7.0, 7.0, -1.0, 1.0]), 6, 1.0, torch.full((4,), 0.99))
    assert ends.tolist() == [-31 / 32, 31 / 32, -31 / 32, 31 / 32]


@pytest.mark.parametrize("number", [0.0, 0.3e-6, 1.7e-6, 0.3, 1.0, 700.0])
@pytest.mark.parametrize("bits", [8, 16])
def test_floating_numbers_are_powers_whose_mean_is_the_number(number: float, bits: int) -> None:
    n, per_octave = 20000, 2**bits / 64
    given = torch.full((n,), number)
    found = floating(given, bits, 1e-6, torch.rand(n, generator=torch.Generator().manual_seed(2)))
    powers = (found[found > 0].double() / 1e-6).log2() * per_octave
    torch.testing.assert_close(powers, powers.round(), atol=0.01, rtol=0)
    step = max(number * (2 ** (1 / per_octave) - 1), 1e-6 * (number < 1e-6))
    assert float((found - given).abs().max()) <= step * 1.001 + number * 1e-5
    expect.mean(found.double().numpy(), number, std=step / 2 + 1e-12, detects=step / 10 + 1e-11)


def built(rule: str, engine: str, bits: int, *lead: int) -> ChainWeight:
    made = load(rule, f"algorithm.buffer_bits={bits}", "algorithm.in_chop_prob=0.2")
    assert isinstance(made, BufferedTransfer)
    tiles = factory(soft(0.02), engine=ENGINES[engine])
    weight = made.build((*lead, 5, 6), tiles)
    assert isinstance(weight, ChainWeight)
    weight.root = tiles.draws
    return weight


def train(weight: ChainWeight, batches: range = range(12)) -> None:
    for t in batches:
        weight.update(normal(t, 9, 6), normal(100 + t, 9, 5), 0.3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("engine", ENGINES)
def test_all_that_stays_is_a_number_of_so_many_bits(rule: str, engine: str) -> None:
    weight = built(rule, engine, 8)
    train(weight)
    state, reach = weight.states[0], weight.fast.device.largest
    for name, span in (("held", 1.0), ("mean", reach), ("past", reach)):
        if name in state.memory:
            steps = getattr(state, name) * (128 / span)
            assert float(steps.abs().max()) > 2
            torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    if "second" in state.memory:
        least = (weight.rule.eps * weight.fast.device.granularity) ** 2 / 16  # type: ignore[attr-defined]
        powers = (state.second[state.second > 0].double() / least).log2() * 4
        torch.testing.assert_close(powers, powers.round(), atol=1e-3, rtol=0)
    exact = built(rule, engine, 0)
    assert (
        weight.cost()["digital_bytes"] * 4
        == exact.cost()["digital_bytes"]
        == 4 * exact.cost()["digital_memory"]
    )


@pytest.mark.parametrize("rule", RULES)
def test_many_bits_are_as_good_as_single_precision(rule: str) -> None:
    """Rounding is the only difference, and it draws nothing that others would have drawn."""
    fine, exact = built(rule, "count", 24), built(rule, "count", 0)
    train(fine, range(1))
    train(exact, range(1))
    for name in fine.states[0].memory:
        torch.testing.assert_close(
            getattr(fine.states[0], name), getattr(exact.states[0], name), atol=1e-6, rtol=1e-5
        )
    assert torch.equal(fine.fast.state, exact.fast.state)


def test_a_checkpoint_goes_on_with_the_same_bits() -> None:
    weight, again = built("agad_adam", "count", 8), built("agad_adam", "count", 8)
    train(weight, range(4))
    saved, streams = copy.deepcopy(weight.state_dict()), copy.deepcopy(weight.root.state_dict())
    train(weight, range(4, 8))
    again.load_state_dict(saved)
    again.root.load_state_dict(streams)
    train(again, range(4, 8))
    assert same(state(weight), state(again))


def test_an_instance_rounds_as_it_does_alone() -> None:
    alone, company = built("tt_adam", "count", 8), built("tt_adam", "count", 8, 2)
    numbers = normal(3, 2, 5, 6)
    what = alone.program(9, 0.3).transfers[0].what
    company.states[0].held.copy_(numbers)
    company.states[0].second.copy_(numbers.square())
    company.states[0].keep(what, Company([Stream(1), Stream(2)]))
    for i, seed in enumerate((1, 2)):
        alone.states[0].held.copy_(numbers[i])
        alone.states[0].second.copy_(numbers[i].square())
        alone.states[0].keep(what, Stream(seed))
        assert torch.equal(alone.states[0].held, company.states[0].held[i])
        assert torch.equal(alone.states[0].second, company.states[0].second[i])


def test_factors_of_lines_stay_whole() -> None:
    made = load("tt_adam", "algorithm.buffer_bits=8", "algorithm.normalise=factored")
    weight = made.build((4, 5), factory(soft(0.02)))
    assert weight.cost()["digital_bytes"] == 20 + 4 * (
        4 + 5
    )  # the buffer in bytes, a number for each row and column


@pytest.mark.parametrize("bits", [-1, 3, 25])
def test_bits_that_hold_nothing_are_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match="buffer_bits"):
        built("cttv2", "count", bits)
