"""What devices endure: counts of single devices, calibration, epochs, many trainings; estimates from constants."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runs import configuration, trained
from torch import nn

from crossweep.build import build
from crossweep.nn.convert import analog_weights
from crossweep.training import endurance
from crossweep.training.endurance import Wear
from crossweep.training.estimate import Hardware, estimate
from crossweep.training.experiment import Experiment, Result
from crossweep.training.optimizer import HybridOptimizer
from crossweep.training.progress import Silent

WORDS = (
    *("data=synthetic", "data.train_per_class=20", "data.test_per_class=10", "model=mlp", "model.widths=[8]"),
    *("training.pretrain.epochs=1", "training.finetune.epochs=3", "training.finetune.batch_size=10"),
    *("training.baseline=[]", "evaluation.fresh_devices=0", "quiet=true", "engine.backend=reference"),
)
CONSTANTS = Hardware(
    pulse_time=2.0, read_time=30.0, digital_rate=10.0, pulse_energy=0.5, read_energy=0.01, dac_energy=3.0,
    adc_energy=7.0, digital_energy=11.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


def network(*words: str) -> tuple[nn.Module, Experiment]:
    """A fresh network on crossbars, and its experiment."""
    made = build(configuration(*WORDS, *words))
    assert isinstance(made, Experiment)
    task = made.data.target()
    digital = made.model.build(task.input_shape, task.classes, torch.Generator().manual_seed(0))
    return made.analog_model(digital, made.factory)[0], made


def test_counts_of_single_devices_are_summed_up() -> None:
    model, _ = network("algorithm=analog_sgd")
    tiles = [block.single for weight in analog_weights(model).values() for block in weight.parts()]
    for tile in tiles:
        tile.pulses_given.zero_()
    first = tiles[0].pulses_given
    first.view(-1)[:8] = torch.tensor([3.0, 5, 5, 5, 5, 5, 5, 100])
    n = sum(tile.pulses_given.numel() for tile in tiles)
    (found,) = endurance.wear(model)
    assert (found.array, found.devices) == ("single", n)
    assert found.mean == pytest.approx(133 / n) and found.most == 100 and found.never == (n - 8) / n
    assert found.high == 100  # one of 552 is more than a thousandth
    first.fill_(1.0)
    assert endurance.wear(model)[0].high == 1


def test_calibration_counts_once_and_trainings_count_each() -> None:
    array = Wear(array="fast", devices=10, mean=0, high=0, most=700, never=0, calibration=500)
    assert array.endurance(1) == 700 and array.endurance(10) == 500 + 10 * 200
    slow = Wear(array="slow", devices=10, mean=9, high=0, most=30, never=0.5)
    history = [
        {"train_loss": loss, "pulses_most_fast": fast, "pulses_most_slow": 10.0}
        for loss, fast in ((1.5, 540.0), (0.9, 600.0), (1.2, 700.0))
    ]
    found = endurance.metrics([array, slow], history, 10, 1.0)
    assert found["endurance"] == 2500 and found["pulses_mean"] == 9 and found["pulses_never"] == 0.5
    assert found["pulses_to_target"] == 600
    assert endurance.metrics([array, slow], history, 10, 0.5)["pulses_to_target"] is None
    assert "pulses_to_target" not in endurance.metrics([array, slow], history, 10, None)


def test_the_record_of_a_run_counts_calibration_and_every_epoch(tmp_path: Path) -> None:
    words = (
        "algorithm=zero_shifting",
        "algorithm.pulses=40",
        "evaluation.trainings=7",
        "evaluation.target_loss=9.0",
    )
    record = trained(tmp_path / "run", *WORDS, *words)
    (array,) = [row for row in record["endurance"] if row["array"] in ("fast", "single")]
    assert array["calibration"] == 40 and array["never"] == 0 and array["most"] > 40
    metrics, history = record["metrics"], record["history"]
    assert metrics["endurance"] == 40 + 7 * (metrics["pulses_most"] - 40)
    name = f"pulses_most_{array['array']}"
    assert 40 < history[0][name] <= history[1][name] <= history[2][name] == array["most"]
    assert metrics["pulses_to_target"] == history[0][name]  # any loss is below 9
    total = sum(row["mean"] * row["devices"] for row in record["endurance"])
    assert total == pytest.approx(record["cost"]["pulses"], rel=1e-6)
    assert record["estimate"]["time_s"] > record["estimate"]["pipelined_s"] > 0
    assert not {name for name in metrics if "energy" in name or "_s" in name[-2:]}  # estimates are no metrics


class OneEpoch(Silent):
    """Stops a training after its first epoch."""

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        return title == "fine-tune"


def test_a_run_that_goes_on_knows_its_calibration(tmp_path: Path) -> None:
    def run(folder: str, progress: Silent) -> Result:
        made = build(configuration(*WORDS, "algorithm=zero_shifting", "algorithm.pulses=40"))
        assert isinstance(made, Experiment)
        return made.run(tmp_path / folder, progress)

    whole = run("whole", Silent())
    assert run("parts", OneEpoch()).state == "pruned"
    assert run("parts", Silent()).endurance == whole.endurance
    assert whole.endurance[0].calibration == 40


def test_digital_runs_have_neither() -> None:
    assert endurance.wear(nn.Tanh()) == [] and estimate(nn.Tanh(), CONSTANTS) == {}
    assert endurance.metrics([], [], 10, 1.0) == {}


@pytest.mark.parametrize("rule", ["analog_sgd", "cttv2"])
def test_an_estimate_is_events_times_constants(rule: str) -> None:
    model, experiment = network(f"algorithm={rule}")
    task = experiment.data.target()
    optimizer = HybridOptimizer.of(model, 0.1, experiment.finetune.optimizer)
    images, labels = task.train.normalise(task.train.images[:20]), task.train.labels[:20]
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step(1.0)
    first, last = (weight.parts()[0] for weight in analog_weights(model).values())
    costs = [block.cost() for block in (first, last)]
    slices = [cost["slice_reads"] for cost in costs]
    assert slices == ([20, 20] if rule == "cttv2" else [0, 0])
    assert costs[0]["slots"] >= 20 and costs[0]["backward_reads"] == 0 and costs[1]["backward_reads"] == 20

    def seconds(cost: dict[str, float]) -> float:
        reads = cost["samples"] + cost["backward_reads"] + cost["slice_reads"]
        slots = cost["slots"] + cost["transfer_slots"]
        return 1e-9 * (30 * reads + 2 * slots + cost["digital_operations"] / 10)

    found = estimate(model, CONSTANTS)
    assert found["time_s"] == pytest.approx(sum(map(seconds, costs)))
    assert found["pipelined_s"] == pytest.approx(max(map(seconds, costs)))
    # the first layer is 8 x 64 and has no backward read, the last 5 x 8
    outputs = 20 * 8 + slices[0] * 8 + 20 * 5 + 20 * 8 + slices[1] * 5
    inputs = 20 * 64 + slices[0] + 20 * 8 + 20 * 5 + slices[1]
    devices = 20 * 512 + slices[0] * 8 + 40 * 40 + slices[1] * 5
    expected: dict[str, Any] = {
        "pulses": 0.5 * sum(cost["pulses"] for cost in costs),
        "reads": 0.01 * devices,
        "conversions": 3 * inputs + 7 * outputs,
        "digital": 11 * sum(cost["digital_operations"] for cost in costs),
    }
    for name, picojoules in expected.items():
        assert found[f"energy_{name}_j"] == pytest.approx(1e-12 * picojoules), name
    assert found["energy_j"] == pytest.approx(1e-12 * sum(expected.values()))


@pytest.mark.parametrize("key", list(vars(CONSTANTS)))
def test_every_constant_counts(key: str) -> None:
    model, _ = network("algorithm=cttv2")
    for weight in analog_weights(model).values():
        x, d = torch.ones(4, weight.x_size), torch.ones(4, weight.d_size)
        weight.read(x), weight.read_transposed(d)
        weight.remember(x, d, 1)
        weight.update(0.1)
    before = estimate(model, CONSTANTS)
    assert before != estimate(model, replace(CONSTANTS, **{key: 2 * getattr(CONSTANTS, key)}))
