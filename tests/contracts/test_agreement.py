"""The comparison of engines itself: it sees what is different, and forgives what is rounding."""

import pytest
import torch

from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.bench.agreement import APART, TOLERANCE, Agreement, Scene, agreement, compared, scenes

CPU = torch.device("cpu")
SCENES = {scene.title: scene for scene in scenes()}


@pytest.mark.few(40)
@pytest.mark.parametrize("title", SCENES)
def test_the_truth_works_compiled_and_agrees_with_itself(title: str) -> None:
    weight = SCENES[title].weight("cpu", CPU)
    assert not isinstance(weight, ChainWeight) or weight.refuses() is None
    found = agreement(SCENES[title], "cpu", CPU)
    assert (found.worst, found.apart, found.faults) == (0.0, 0.0, [])
    assert all(tile.pulses == 0 for tile in weight.tiles().values())


def test_other_draws_are_a_fault() -> None:
    found = agreement(Scene(rule="analog_sgd"), "reference", CPU)
    assert any(fault.startswith("pulses of the gradient:") for fault in found.faults)


def test_an_engine_that_refuses_is_a_fault() -> None:
    found = compared(Scene(), {"a": torch.ones(2)}, {"refuses": "too hard"})
    assert found.faults == ["the engine refuses: too hard"]


def test_a_pulse_that_is_missing_is_a_fault() -> None:
    found, pulses = Agreement(Scene()), torch.full((20, 37), 3.0)
    less = pulses.clone()
    less[4, 5] -= 1
    found.whole("pulses", pulses, pulses.clone())
    assert not found.faults
    found.whole("pulses", pulses, less)
    assert found.faults == [f"pulses: {1 / 740:.2%} differ"]


@pytest.mark.parametrize("shape", [(20, 37), (150, 150)])
def test_rounding_and_an_edge_pass_and_a_wrong_line_does_not(shape: tuple[int, int]) -> None:
    state = torch.linspace(-1, 1, shape[0] * shape[1]).reshape(shape)
    rounded = state + 0.9 * TOLERANCE * torch.ones(shape)
    rounded[0, 0] += 0.02  # a step
    found = Agreement(Scene())
    found.close("state", state, rounded)
    assert not found.faults and found.apart <= APART
    assert found.worst == pytest.approx(0.9 * TOLERANCE, rel=0.01)
    for line in ((0, slice(None)), (slice(None), -1)):
        wrong = state.clone()
        wrong[line] += 2 * TOLERANCE
        found = Agreement(Scene())
        found.close("state", state, wrong)
        assert len(found.faults) == 1


def test_what_is_no_number_on_one_side_is_a_fault() -> None:
    numbers = torch.ones(8)
    nothing = numbers.clone()
    nothing[:2] = torch.nan
    found = Agreement(Scene())
    found.close("age", nothing, nothing.clone())
    assert not found.faults
    found.close("age", numbers, nothing)
    assert len(found.faults) == 1
