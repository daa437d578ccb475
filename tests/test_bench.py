"""The benchmark measures what it says; how fast anything is, no test asserts."""

from pathlib import Path

import pytest
import torch

from crossweep.bench import __main__ as bench
from crossweep.bench import memory, steps, table
from crossweep.bench.timing import in_turn, ratio
from crossweep.bench.updates import Case, pulses_per_update, updater
from crossweep.errors import ConfigError
from crossweep.nn.convert import analog_weights


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system does not tell its peak memory"
)
@pytest.mark.slow
def test_peak_memory_is_what_a_step_allocates() -> None:
    few, many = (memory.measured("swin_micro", batch) for batch in (16, 64))
    assert few["state"] == many["state"] == memory.state_bytes(steps.digital_model("swin_micro"))
    # activations make it, so it grows with the batch; each of the six blocks keeps its 8 x 8 tokens of 64 channels at least
    assert 3 < many["peak"] / few["peak"] < 5
    assert few["peak"] > 6 * 16 * 8 * 8 * 64 * 4


def test_rivals_run_in_turn_and_ratios_are_of_rounds() -> None:
    order: list[str] = []
    timings = in_turn([lambda: order.append("a"), lambda: order.append("b")], seconds=0.0)
    assert order == ["a", "b"] * 7  # two rounds to warm up, five that count
    assert ratio(timings[0], timings[0]) == 1.0
    assert len(timings[0].walls) == 5


def test_dense_updates_use_the_pulses_they_promise() -> None:
    call, weight = updater(Case(rule="analog_sgd", d=32, x=32, samples=16, bl=31))
    call()
    # normal values: E|x| E|d| over the product of the largest ones, which want 31 pulses: 2 / pi / 2.1^2 of them
    assert 31 * 16 * 0.05 < pulses_per_update(weight, 1) < 31 * 16 * 0.25


def test_analog_models_step_and_keep_their_digital_twin_untouched() -> None:
    digital = steps.digital_model("swin_micro")
    before = {name: tensor.clone() for name, tensor in digital.state_dict().items()}
    analog = steps.analog_model(digital, "cttv2", "count", 5, "perfect")
    steps.stepper(analog, 2)()
    for name, tensor in digital.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_instances_side_by_side_are_stepped_together() -> None:
    models = [
        steps.analog_model(steps.digital_model("swin_micro"), "cttv2", "count", 5, "perfect")
        for _ in range(2)
    ]
    before = {name: weight.logical_weight() for name, weight in analog_weights(models[0]).items()}
    steps.together(models, 2)()
    for name, weight in analog_weights(models[0]).items():  # the models themselves wait for their numbers
        assert torch.equal(weight.logical_weight(), before[name])


def test_tables_say_ratios_first_and_appear_whole(tmp_path: Path) -> None:
    rows: list[table.Row] = [{"ms": 1.5, "x digital": 2.25, "model": "m"}]
    path = table.write({"Steps": rows}, tmp_path)
    text = path.read_text()
    assert "| x digital | ms | model |" in text
    assert "| 2.25 | 1.5 | m |" in text
    assert {p.name for p in tmp_path.iterdir()} == {"bench.md", "bench.json"}


def test_unknown_parts_are_named() -> None:
    with pytest.raises(ConfigError, match=r"bench: parts are .*, got magic"):
        bench.main(["magic"])
