"""What cannot go onto crossbars is refused before pretraining and baselines are paid for."""

from pathlib import Path

import pytest
from tests.runs import trained
from torch import Tensor, nn

from crossweep.errors import ConfigError
from crossweep.models.mlp import Mlp

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
