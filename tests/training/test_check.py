"""What cannot go onto crossbars is refused before pretraining and baselines are paid for."""

from pathlib import Path

import pytest
from tests.runs import configuration, trained
from torch import Tensor, nn

from crossweep.build import build
from crossweep.errors import ConfigError
from crossweep.models.mlp import Mlp
from crossweep.nn.convert import analog_weights
from crossweep.training import allocation
from crossweep.training.experiment import Experiment

TINY = ("data=synthetic", "data.train_per_class=20", "data.test_per_class=20", "model=mlp", "quiet=true")
SHORT = (
    "training.pretrain.epochs=1",
    "training.finetune.epochs=1",
    "training.finetune.batch_size=10",
    "evaluation.fresh_devices=0",
)


class Functional(nn.Module):
    def __init__(self, x_size: int, classes: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(x_size, 8), nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(images.flatten(1) @ self.body.weight.t())
        return out

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        self.head = nn.Linear(8, num_classes)


def test_refused_before_anything_trains_and_runs_as_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    monkeypatch.setattr(
        Mlp, "create", lambda self, shape, classes: Functional(shape[0] * shape[1] * shape[2], classes)
    )
    with pytest.raises(ConfigError, match=r"weight of body.*analog\.exclude=\[body\]"):
        trained(tmp_path / "a", *TINY, *SHORT, "training.baseline=[]", algorithm="cttv2")
    assert not list((tmp_path / "multirun").rglob("*.safetensors")), "something has trained"
    record = trained(
        tmp_path / "b", *TINY, *SHORT, "training.baseline=[]", "analog.exclude=[body]", algorithm="cttv2"
    )
    assert [row["layer"] for row in record["conversion"]] == ["head", "digital: body", "digital: head"]


def test_crossbars_that_do_not_fit_into_memory_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    monkeypatch.setattr(allocation, "available", lambda _: 10_000)
    words = (*TINY, "model.widths=[40,8]")
    line = r"^analog\.layers: .* weights need .* GiB .*, and .* GiB are free; .* analog\.exclude .*largest is mlp\.0, 40 x "
    with pytest.raises(ConfigError, match=line):
        build(configuration(*words)).check()
    monkeypatch.setattr("crossweep.nn.convert._analog", lambda *_: pytest.fail("a crossbar was made"))
    with pytest.raises(ConfigError, match=line):
        trained(tmp_path / "a", *words)
    build(configuration(*words, "analog.exclude=[mlp.0]", "analog.layers=head")).check()
    build(configuration(*words, "algorithm=digital")).check()


@pytest.mark.few(5)
@pytest.mark.parametrize("algorithm", ["cttv2", "analog_sgd", "mixed_precision", "agad"])
@pytest.mark.parametrize("device", ["soft_bounds", "pcm", "ideal"])
def test_the_estimate_is_what_a_layer_takes(algorithm: str, device: str) -> None:
    made = build(configuration(*TINY, "model.widths=[128]", f"algorithm={algorithm}", f"device={device}"))
    assert isinstance(made, Experiment)
    digital = made.model.build((1, 16, 16), 10, made.factory.draws.generator())
    model, _ = made.analog_model(digital, made.factory)
    (weight, *_) = analog_weights(model).values()
    taken = sum(held.numel() * held.element_size() for held in weight.buffers()) / (128 * 256)
    # the small weight that is measured has more rows and columns for each of its devices
    assert taken <= allocation.bytes_per_weight(made.rule, made.factory) < 1.5 * taken + 8


@pytest.mark.parametrize(
    "said",
    [
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 50 bytes.",
        "CUDA out of memory. Tried to allocate 47.00 GiB.",
    ],
)
def test_a_network_too_large_for_the_machine_is_one_line(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> nn.Module:
        raise RuntimeError(said)

    monkeypatch.setattr(Mlp, "create", full)
    with pytest.raises(ConfigError, match=r"^model: needs more memory than there is \([\d.]+ \w+ at once\)"):
        build(configuration(*TINY, "model.widths=[11]")).check()
