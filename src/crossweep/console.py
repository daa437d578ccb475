"""What a person sees while a run goes on and when it is over."""

import sys
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from crossweep.configured import device_name, errors_over_time, time_text

_OF_GRIDS = {
    "test_error": "test error [%]",
    "baseline_error": "reference [%]",
    "error_increase": "increase [points]",
}
_SHOWN = ("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy")


class ConsoleProgress:
    """A bar per loop on a terminal, a line per epoch elsewhere.

    Args:
        on_epoch: called with the epoch's number and row for the fine-tuning only; True stops it (a pruned trial).
        quiet: show nothing.
    """

    def __init__(
        self, on_epoch: Callable[[int, Mapping[str, float]], bool] | None = None, *, quiet: bool = False
    ) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.on_epoch = on_epoch
        self.bars: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        if self.console.is_terminal and not quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bars = Progress(*columns, console=self.console, transient=True)
            self.bars.start()

    def batch(self, title: str, done: int, total: int) -> None:
        if self.bars is None:
            return
        if title not in self.tasks:
            self.tasks[title] = self.bars.add_task(title, total=total)
        self.bars.update(self.tasks[title], completed=done, total=total)

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        shown = "  ".join(f"{name.replace('_', ' ')} {row[name]:.4f}" for name in _SHOWN if name in row)
        self.console.print(
            f"{title:<16} epoch {row['epoch']:.0f}/{epochs}  {shown}  {row['seconds']:.1f} s", highlight=False
        )
        if self.on_epoch is None or title != "fine-tune":
            return False
        return self.on_epoch(int(row["epoch"]), row)

    def close(self) -> None:
        """Remove the bars."""
        if self.bars is not None:
            self.bars.stop()


def conversion_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What became analog, and what stays digital; shares are of all weights of the model."""
    table = Table(title="analog layers", title_justify="left")
    for name in ("layer", "kind", "tile", "tiles", "devices", "share of weights"):
        table.add_column(name, justify="left" if name in ("layer", "kind") else "right")
    analog = [row for row in rows if row["tiles"]]
    for row in analog:
        size = f"{row['d_size']} x {row['x_size']}"
        table.add_row(row["layer"], row["kind"], size, *_sums([row]))
    table.add_section()
    table.add_row("all", "", "", *_sums(analog))
    for row in rows:
        if not row["tiles"]:
            table.add_row(row["layer"], row["kind"], "", "", "", f"{row['share']:.1%}")
    return table


def _sums(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    """Tiles, devices and share of some rows together."""
    tiles, devices, share = (sum(row[name] for row in rows) for name in ("tiles", "devices", "share"))
    return str(tiles), f"{devices:,}", f"{share:.1%}"


def result_table(record: Mapping[str, Any]) -> Table:
    """The closing table of one run."""
    metrics, choices = record["metrics"], record["choices"]
    task = choices.get("task") or choices.get("data", "?")
    title = f"{record['algorithm']} on {device_name(record)}, {task}: {record['state']}"
    table = Table(title=title, title_justify="left")
    if "test_error" not in metrics:  # a test-bed
        table.show_header = False
        for name, value in metrics.items():
            table.add_row(name.replace("_", " "), f"{value:.4g}")
        return table
    for name in ("", "test error", "test accuracy", "validation loss", "increase"):
        table.add_column(name, justify="left" if not name else "right")
    for name, found in record["baselines"].items():
        chosen = " (reference)" if name == record.get("reference") else ""
        table.add_row(f"digital {name}{chosen}", *_score_cells(found), "")
    increase = metrics.get("error_increase")
    delta = "" if increase is None else f"{increase:+.2f} points"
    table.add_row(record["algorithm"], *_score_cells(metrics), delta, style="bold")
    if (fresh := metrics.get("fresh_error_mean")) is not None:
        spread = metrics.get("fresh_error_std")
        text = f"{fresh:.2f} %" if spread is None else f"{fresh:.2f} +- {spread:.2f} %"
        table.add_row("  on fresh devices", text, f"{1 - fresh / 100:.4f}", "", "")
    for time, error in errors_over_time(metrics):
        table.add_row(f"  after {time_text(time)}", f"{error:.2f} %", f"{1 - error / 100:.4f}", "", "")
    return table


def grid_table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Table:
    """The closing table of a grid: one line per run.

    Args:
        rows: of the table of all runs (``crossweep.results.table``).
        keys: that the grid varies, as they were typed.
    """
    metrics = {name.removeprefix("metric.") for row in rows for name in row if name.startswith("metric.")}
    shown = [name for name in _OF_GRIDS if name in metrics] or sorted(metrics)[:3]
    table = Table(title=f"{len(rows)} runs", title_justify="left")
    for name in (*keys, "state", *(_OF_GRIDS.get(name, name.replace("_", " ")) for name in shown)):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: [str(_varied(row, key)) for key in keys]):
        numbers = (row.get(f"metric.{name}") for name in shown)
        cells = ["" if value is None or isnan(value) else f"{value:.4g}" for value in numbers]
        table.add_row(*(str(_varied(row, key)) for key in keys), str(row["state"]), *cells)
    return table


def _varied(row: Mapping[str, Any], key: str) -> Any:
    """What a run has for a key that was typed: a number, or a group's option."""
    return next((row[c] for c in (f"axis.{key}", f"choice.{key}", key) if c in row), "?")


def _score_cells(found: Mapping[str, float | None]) -> tuple[str, str, str]:
    """Test error, test accuracy and validation loss, as far as there are any."""
    error, accuracy, loss = (found.get(k) for k in ("test_error", "test_accuracy", "validation_loss"))
    if error is None or accuracy is None:
        return "no result", "", ""
    return f"{error:.2f} %", f"{accuracy:.4f}", "" if loss is None else f"{loss:.4f}"


def show_result(record: Mapping[str, Any], folder: Path) -> None:
    """Print the closing table and where the run lies."""
    console = Console(file=sys.stdout)
    console.print(result_table(record))
    for sentence in record.get("warnings", ()):
        console.print(f"note: {sentence}", highlight=False, soft_wrap=True, markup=False)
    rates = ", ".join(f"{k} {v:g}" for k, v in record["learning_rates"].items() if isinstance(v, int | float))
    console.print(f"learning rates: {rates}", highlight=False)
    console.print(f"{record['wall_seconds']:.0f} s; results in {folder}", highlight=False, soft_wrap=True)
