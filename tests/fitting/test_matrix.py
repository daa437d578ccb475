"""Known truths come out within their intervals, or the file is refused with a reason; never another device."""

from itertools import product

import pytest

from tests.fitting.matrix import CYCLES, DEVICES, EVERY, MODELS, NOISES, Case, outcome

# clean, averaged and noisy readings; sparse ones; few of them; several devices: every model once
SOME = (
    Case("constant_step", 0.001, 5, 3, 1),
    pytest.param(Case("soft_bounds", 0.0, 5, 3, 1), marks=pytest.mark.slow),
    Case("soft_bounds", 0.01, 10, 3, 1),
    Case("linear_step", 0.001, 2, 1, 1),
    Case("pow_step", 0.0, 1, 1, 1),
    Case("exp_step", 0.01, 1, 3, 1),
)


@pytest.mark.few(2)
@pytest.mark.parametrize("case", SOME, ids=str)
def test_a_known_truth_is_recovered(case: Case) -> None:
    assert outcome(case).startswith("right")


def test_too_few_readings_are_refused_with_their_number() -> None:
    assert "10 readings are too few" in outcome(Case("pow_step", 0.01, 10, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_whole_matrix(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        case: outcome(case)
        for devices, cycles, every, noise in product(DEVICES, CYCLES, EVERY, NOISES)
        for case in [Case(model, noise, every, cycles, devices)]
    }
    with capsys.disabled():
        print(f"\n{'model':14} {'devices':>7} {'cycles':>6} {'every':>5} {'noise':>6}  outcome")
        for c, text in found.items():
            print(f"{c.model:14} {c.devices:7} {c.cycles:6} {c.every:5} {c.noise:6.1%}  {text}")
    assert not [text for text in found.values() if text.startswith("WRONG")]
    plenty = [text for c, text in found.items() if c.every <= 5 or c.cycles > 1]
    assert all(text.startswith("right") for text in plenty)
