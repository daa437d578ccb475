"""The trained network is tested again after its devices have lain: record, table, report."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from tests.algorithms.rigs import factory, ideal
from tests.nn.networks import build
from tests.runs import trained
from tests.training.test_loop import Net, task
from torch import Tensor, nn

from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.bench.basic import basic
from crossweep.configured import errors_over_time, metric_after, time_text
from crossweep.console import result_table
from crossweep.data.base import Split
from crossweep.nn.convert import analog_weights, convert
from crossweep.tiles.mapping import TileMapping
from crossweep.training import retention
from crossweep.training.evaluate import Score

TINY = (
    "model=mlp", "model.widths=[16]", "model.activation=tanh", "algorithm=analog_sgd", "training.finetune.epochs=6",
    "training.finetune.batch_size=8", "training.finetune.analog_lr=0.3", "io=perfect", "device.n_states=2000",
    "training.baseline=[]", "evaluation.fresh_devices=0", "quiet=true", "keep_checkpoint=false",
)  # fmt: skip
TIMES = "evaluation.times=[1,3600,31536000]"


def test_a_network_forgets_as_its_devices_do(tmp_path: Path) -> None:
    record = trained(tmp_path, *TINY, TIMES, "device.lifetime=3600")
    (_, first), (_, hour), (_, year) = errors_over_time(record["metrics"])
    now = record["metrics"]["test_error"]
    assert abs(first - now) < 3 and first < 50 and hour >= first and year > now + 20
    console = Console(width=120, record=True, file=StringIO())
    console.print(result_table(record))
    shown = console.export_text()
    assert all(f"after {text}" in shown for text in ("1 s", "1 h", "365 d"))


def test_every_time_counts_from_the_end_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the test split, and the network stays as it was trained."""

    def state(model: nn.Module) -> Tensor:
        (part,) = analog_weights(model)["body"].parts()
        (tile,) = part.tiles().values()
        return tile.state.clone()

    model, given, seen = build(0, Net), task(), list[Tensor]()

    def score(later: nn.Module, split: Split) -> Score:
        assert split is given.test
        seen.append(state(later))
        return Score(0.75, 1.0)

    monkeypatch.setattr(retention, "evaluate", score)
    convert(model, ["body"], basic(AnalogSGD), basic(TileMapping), factory(ideal(0.01, lifetime=50.0)))
    before = state(model)
    found = retention.errors_after(model, given, (40.0, 10.0, 10.0))
    assert found == {"test_error_after_40s": 25.0, "test_error_after_10s": 25.0}
    for after, time in zip(seen, (40.0, 10.0, 10.0), strict=True):
        torch.testing.assert_close(after, before * (1 - 1 / 50) ** time)
    assert torch.equal(state(model), before)


def test_without_relaxation_nothing_changes(tmp_path: Path) -> None:
    metrics = trained(tmp_path, *TINY, TIMES)["metrics"]
    assert {error for _, error in errors_over_time(metrics)} == {metrics["test_error"]}


@pytest.mark.parametrize(
    ("seconds", "name", "text"),
    [
        (1.0, "1s", "1 s"),
        (0.5, "0.5s", "0.5 s"),
        (5400.0, "5400s", "1.5 h"),
        (3.1536e7, "31536000s", "365 d"),
    ],
)
def test_times_are_named_in_full_and_read_back(seconds: float, name: str, text: str) -> None:
    assert metric_after(seconds) == f"test_error_after_{name}" and time_text(seconds) == text
    assert errors_over_time({metric_after(seconds): 7.0, "test_error": 1.0}) == [(seconds, 7.0)]


def test_the_report_shows_accuracy_over_time() -> None:
    from types import SimpleNamespace

    from crossweep.results.page import _over_time

    rows = pd.DataFrame({"metric.test_error": [5.0, 7.0], "metric.test_error_after_3600s": [10.0, 20.0]})
    html = "".join(_over_time(SimpleNamespace(groups=[SimpleNamespace(name="cttv2", rows=rows)])))  # type: ignore[arg-type]
    assert "Accuracy over time" in html and "1 h" in html and ">85<" in html and ">94<" in html
