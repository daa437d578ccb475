"""The trained network is tested again after its devices have lain: record, table, report."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from tests.runs import trained

from crossweep.configured import errors_over_time, metric_after, time_text
from crossweep.console import result_table

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
