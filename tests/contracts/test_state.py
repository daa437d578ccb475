"""What training may change, and that nothing depends on which tensors share memory: every rule, on devices that relax
or show noise, at every level.

Training changes tensors in place where that saves time. That is harmless only while no two parts of the state are the
same tensor.
"""

import copy
import dataclasses

import pytest
import torch

from crossweep.algorithms.base import AnalogWeight
from crossweep.tiles.analog_tile import AnalogTile
from tests.algorithms.rigs import DEVICES, factory, normal
from tests.contracts.test_algorithms import ANALOG, ENGINES, SHAPE, rule, same, state
from tests.tables import in_pairs

EXTRAS = {
    "soft_bounds": DEVICES["soft_bounds"],
    "relaxing": DEVICES["relaxing"],
    "relaxing_pair": dataclasses.replace(DEVICES["pair"], drift_nu=0.1, lifetime=50.0, write_noise_std=0.5),
    "drift": dataclasses.replace(DEVICES["soft_bounds"], drift_nu=0.1),
    "drift_of_exponential_steps": dataclasses.replace(DEVICES["exp_step"], drift_nu=0.1),
    "drift_of_cells": dataclasses.replace(DEVICES["cells"], drift_nu=0.1, write_noise_std=1.0),
}
# What a rule or a tile is there to change; the drawn devices and their references are not among it.
CHANGES = {
    *("state", "weight", "shown", "pulses_given", "slots", "age", "settled", "batches", "turn"),
    *(
        "chop_in",
        "chop_out",
        "scale_x",
        "scale_d",
        "held",
        "mean",
        "past",
        "second",
        "row_factor",
        "column_factor",
        "switched",
        "chi",
    ),
}


def build(name: str, extra: str, engine: str) -> AnalogWeight:
    if name == "zero_shifting" and extra.endswith("pair"):
        pytest.skip("no symmetry point to find")
    weight = rule(name).build(SHAPE, factory(EXTRAS[extra], engine=ENGINES[engine]))
    weight.set_weight(0.2 * normal(77, *SHAPE))
    return weight


def shared(weight: AnalogWeight) -> list[tuple[str, str]]:
    """Buffers that lie in the same memory."""
    seen: dict[int, str] = {}
    pairs = []
    for name, tensor in weight.named_buffers():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            pairs.append((seen[place], name))
        seen[place] = name
    return pairs


def part_all(weight: AnalogWeight) -> None:
    """Give every buffer memory of its own."""
    for module in weight.modules():
        for name, tensor in module.named_buffers(recurse=False):
            setattr(module, name, tensor.clone())


def watch(tile: AnalogTile) -> None:
    """Keep account, from copies, of the mini-batches since each state last changed."""
    account = {"state": torch.full_like(tile.state, torch.nan), "age": torch.zeros_like(tile.state)}
    original = tile.end_batch

    def watched() -> None:
        account["age"] = torch.where(tile.state == account["state"], account["age"] + 1, 1.0)
        original()
        assert torch.equal(tile.age, account["age"])
        account["state"] = tile.state.clone()

    tile.end_batch = watched  # type: ignore[method-assign]


@pytest.mark.few(each="name extra engine")
@in_pairs("name, extra, engine", ANALOG, EXTRAS, tuple(ENGINES))
def test_training_changes_what_it_is_there_to_change(name: str, extra: str, engine: str) -> None:
    """The same bits where every buffer is copied before every mini-batch; and any change restarts the drift."""
    weight, parted = build(name, extra, engine), build(name, extra, engine)
    if (
        EXTRAS[extra].drift_nu and EXTRAS[extra].update_policy != "one_sided"
    ):  # a pair may be refreshed afterwards
        for tile in weight.tiles().values():
            watch(tile)
    before, counters = state(weight), weight.counters()
    noted = copy.deepcopy(counters)
    for t in range(5):
        inputs = normal(t, 7, 5), normal(1000 + t, 7, 4)
        kept = [tensor.clone() for tensor in inputs]
        weight.update(*inputs, 0.3)
        part_all(parted)
        parted.update(*inputs, 0.3)
        assert same(state(weight), state(parted)), f"mini-batch {t}"
        assert not shared(weight)
        assert all(torch.equal(*pair) for pair in zip(inputs, kept, strict=True))
    changed = {key for key, tensor in state(weight).items() if not torch.equal(tensor, before[key])}
    assert {key.split(".")[-1] for key in changed} <= CHANGES
    assert repr(counters) == repr(noted)  # a checkpoint stays what it was


@pytest.mark.parametrize("name", [n for n in ANALOG if "mixed" not in n])
@pytest.mark.parametrize("engine", ENGINES)
def test_devices_that_are_pulsed_in_every_mini_batch_do_not_drift(name: str, engine: str) -> None:
    weight = build(name, "drift", engine)
    tile = next(iter(weight.tiles().values()))  # the one that takes the gradient
    for t in range(5):
        before = tile.state.clone()
        weight.update(normal(t, 60, 5), normal(1000 + t, 60, 4), 0.3)
        assert bool((tile.state != before).all())
    assert bool((tile.age == 1).all())
