"""The published cost model, and the tally of a weight."""

import pytest
import torch

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.cost import CostModel
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.errors import ConfigError
from tests.algorithms.catalogue import load
from tests.algorithms.rigs import factory, ideal, normal


@pytest.mark.parametrize(
    ("algorithm", "total_ns", "memory"),
    [
        ("analog_sgd", 30.9, 2 * 512),
        ("ttv2", 56.3, 512**2 + 2 * 512),
        ("cttv2", 56.3, 512**2 + 2 * 512),
        ("agad", 62.1, 3 * 512**2 + 2 * 512),
        ("mixed_precision", 3024.5, 512**2 + 2 * 512 * 100),
        ("mrl", 95.9, 2 * 512),
    ],
)
def test_published_totals(algorithm: str, total_ns: float, memory: int) -> None:
    row = CostModel().update(algorithm)
    assert round(row["total_ns"], 1) == total_ns
    assert row["bytes"] == memory
    assert row["total_ns"] == pytest.approx(row["analog_ns"] + row["digital_ns"])


def test_agad_with_rare_reads_and_short_trains() -> None:
    assert round(CostModel(transfer_every=10, train_length=1).update("agad")["total_ns"], 1) == 17.1


def test_unknown_row_and_bad_number() -> None:
    with pytest.raises(ConfigError, match="no published row for 'rlv2'"):
        CostModel().update("rlv2")
    with pytest.raises(ConfigError, match=r"cost\.size: must be > 0"):
        CostModel(size=0)


def test_tally_agrees_with_the_published_operations() -> None:
    """Per sample 2N + 2N/n_s operations for TTv2 and 2N + 6N/n_s for AGAD, for a square tile of N."""
    n, every, samples = 8, 2, 40
    for rule, reads in ((basic(TTv2, transfer_every=every), 2), (basic(AGAD, transfer_every=every), 6)):
        weight = rule.build((n, n), factory(ideal(0.01)))
        weight.update(normal(1, samples, n), normal(2, samples, n), 0.1)
        assert weight.cost()["digital_operations"] == samples * (2 * n + reads * n / every)
        assert weight.cost()["slice_reads"] == samples / every


def test_pulses_are_counted_on_their_tiles() -> None:
    weight = load("analog_sgd").build((2, 3), factory(ideal(0.01)))
    weight.update(torch.ones(1, 3), torch.ones(1, 2), 0.05)  # k = 5: five pulses for certain
    assert weight.cost()["pulses"] == weight.cost()["pulses_single"] == 5 * 6
    assert weight.cost()["devices"] == weight.cost()["weights"] == 6
    weight.read(torch.ones(4, 3))
    weight.read_transposed(torch.ones(5, 2))
    assert (weight.cost()["forward_reads"], weight.cost()["backward_reads"]) == (4, 5)


@pytest.mark.parametrize(
    ("algorithm", "values"),
    [
        *(("analog_sgd", 0), ("ttv1", 0), ("residual_learning", 0), ("mrl", 0)),
        *(
            ("ttv2", 1),
            ("cttv2", 1),
            ("rlv2", 1),
            ("rider", 2),
            ("erider", 3),
            ("mixed_precision", 1),
            ("agad", 3),
        ),
        *(("tt_adam", 2), ("agad_adam", 4)),
    ],
)
def test_numbers_kept_in_digital_memory_are_those_of_the_rule(algorithm: str, values: int) -> None:
    """Nothing; one buffer, average or accumulator; AGAD's buffer, running mean and past mean."""
    weight = load(algorithm).build((3, 4), factory(ideal(0.01)))
    assert weight.cost()["digital_memory"] == values * 12
    shape = (*weight.shape[-2:],)
    beside = {name: t for name, t in weight.named_buffers() if name.split(".")[0] not in weight.tiles()}
    held = [t for t in beside.values() if tuple(t.shape) == shape]
    assert len(held) == values


def test_instances_count_one_by_one() -> None:
    one, two = (load("cttv2").build((*lead, 4, 4), factory(ideal(0.01))) for lead in ((), (2,)))
    one.update(normal(1, 6, 4), normal(2, 6, 4), 0.1)
    two.update(normal(1, 2, 6, 4), normal(2, 2, 6, 4), 0.1)
    for name in ("samples", "slice_reads", "digital_operations", "devices", "digital_memory"):
        assert two.cost()[name] == 2 * one.cost()[name], name
