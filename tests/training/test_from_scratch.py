"""In-memory training without a pretrained network: ``training.pretrain.epochs=0``."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tests.data.files import write_idx
from tests.runs import configuration, trained

from crossweep.build import build
from crossweep.nn.convert import to_digital
from crossweep.training.experiment import Experiment
from crossweep.training.progress import Silent

WORDS = (
    *("data=synthetic", "data.noise=0.5", "model=mlp", "model.widths=[16]", "model.activation=tanh"),
    *("training.pretrain.epochs=0", "training.finetune.epochs=4", "training.baseline=[sgd]"),
    *("evaluation.fresh_devices=0", "quiet=true"),
)


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


class Watched(Silent):
    """Progress that remembers which loops ran."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        self.titles.append(title)
        return super().epoch(title, row, epochs)


@pytest.mark.parametrize("rule", ["analog_sgd", "cttv2"])
def test_crossbars_learn_from_random_weights(rule: str, tmp_path: Path) -> None:
    own = (f"algorithm={rule}", *(["algorithm.auto_granularity=20.0"] * (rule == "cttv2")))
    made = build(configuration(*WORDS, *own))
    assert isinstance(made, Experiment)
    progress = Watched()
    result = made.run(tmp_path / "run", progress)
    assert set(progress.titles) == {"baseline sgd", "fine-tune"}
    accuracy = result.metrics["test_accuracy"]
    assert result.state == "complete" and accuracy is not None and accuracy > 0.6  # of five classes


def test_all_that_is_written_is_the_fresh_network_of_its_seed() -> None:
    def start(*words: str) -> torch.Tensor:
        made = build(configuration(*WORDS, "algorithm=analog_sgd", "device=ideal", *words))
        assert isinstance(made, Experiment)
        task = made.data.source()
        fresh = made.pretrained(task, Silent())
        network, _ = made.analog_model(made.digital_model(fresh, task.classes), made.factory)
        written = to_digital(network).get_parameter("mlp.0.weight")
        torch.testing.assert_close(written, fresh.get_parameter("mlp.0.weight"))
        # as torch initialises it: uniform within one over the root of the inputs
        assert 0.9 * 64**-0.5 < float(written.detach().abs().max()) <= 1.001 * 64**-0.5
        return written.detach()

    assert not torch.equal(start(), start("seed.pretraining=1"))


def test_mnist_is_trained_from_scratch_unless_told_otherwise(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", "MNIST")
    words = ("data=mnist", f"data.root={tmp_path / 'data'}", "algorithm=analog_sgd", "quiet=true")
    small = ("training.finetune.epochs=1", "training.baseline=[]", "evaluation.fresh_devices=0")
    for model in ("mlp", "lenet5"):
        record = trained(tmp_path / model, *words, *small, f"model={model}")
        assert record["state"] == "complete" and record["config"]["training"]["pretrain"]["epochs"] == 0
        assert record["config"]["training"]["finetune"]["batch_size"] == 10
        sizes = [(row["d_size"], row["x_size"]) for row in record["conversion"] if row["tiles"]]
        dense = [(256, 784), (128, 256), (10, 128)]
        assert sizes == (dense if model == "mlp" else [(16, 25), (32, 400), (128, 512), (10, 128)])
