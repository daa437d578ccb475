"""What a person sees while a run goes on and when it is over."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from crossweep.configured import device_name, errors_over_time, time_text

OF_GRIDS = {
    "test_error": "test error [%]",
    "baseline_error": "reference [%]",
    "error_increase": "increase [points]",
}
_ACCURACIES = {"train_accuracy": "train", "validation_accuracy": "val", "test_accuracy": "test"}
LOG_NAME = "train.log"  # as Hydra calls it, which keeps log lines there
_LOG_WIDTH = 100  # columns


class StderrHandler(logging.Handler):
    """Log lines on what is the standard error at the moment: bars that are being drawn take its place.

    Args:
        stream: not used; Hydra's own description of the handler has one.
    """

    def __init__(self, stream: object = None) -> None:
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class Screen:
    """The terminal, and a file that keeps what it showed.

    Args:
        log: the file, appended to; None for none.
        quiet: show nothing; the file keeps it all the same.
    """

    def __init__(self, log: Path | None = None, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._results = Console(file=sys.stdout, quiet=quiet)
        self._log = log

    def say(self, what: RenderableType, *, result: bool = False) -> None:
        """Show a text as it is, or a table; results go to the standard output, the rest to the standard error."""
        consoles = [self._results if result else self.console]
        if self._log is None:
            return _print(what, consoles)
        with self._log.open("a", encoding="utf-8") as file:
            return _print(what, [*consoles, Console(file=file, width=_LOG_WIDTH)])


def _print(what: RenderableType, consoles: Sequence[Console]) -> None:
    for console in consoles:
        console.print(what, highlight=False, soft_wrap=isinstance(what, str), markup=False)


@contextmanager
def working(on: str) -> Iterator[None]:
    """A life sign while something takes long: a spinner on a terminal, nothing elsewhere."""
    with Console(stderr=True).status(escape(on)):
        yield


class ConsoleProgress:
    """A bar per loop on a terminal, a line per epoch everywhere.

    Args:
        screen: where it is shown.
        on_epoch: called with the epoch's number and row for the fine-tuning only; True stops it (a pruned trial).
        shared: what shows several runs at once, this one among them.
    """

    def __init__(
        self,
        screen: Screen,
        on_epoch: Callable[[int, Mapping[str, float]], bool] | None = None,
        *,
        shared: "Shared | None" = None,
    ) -> None:
        self.screen, self.on_epoch, self.shared = screen, on_epoch, shared
        self.bars: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        if screen.console.is_terminal and not screen.console.quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bars = Progress(*columns, console=screen.console, transient=True)
            self.bars.start()

    def batch(self, title: str, done: int, total: int) -> None:
        if self.shared is not None:
            self.shared.bars.batch(title, done, total)
        if self.bars is None:
            return
        if title not in self.tasks:
            self.tasks[title] = self.bars.add_task(title, total=total)
        self.bars.update(self.tasks[title], completed=done, total=total)

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        self.screen.say(epoch_line(title, row, epochs))
        if self.shared is not None:
            self.shared.epoch(title, row, epochs)
        if self.on_epoch is None or title != "fine-tune":
            return False
        return self.on_epoch(int(row["epoch"]), row)

    def close(self) -> None:
        """Remove the bars."""
        if self.bars is not None:
            self.bars.stop()
        if self.shared is not None:
            self.shared.close()


class Shared:
    """Several runs side by side: one bar per loop for all of them, and one line per epoch with their means.

    Args:
        many: number of runs.
        quiet: show nothing.
    """

    def __init__(self, many: int, *, quiet: bool = False) -> None:
        self.many, self.screen = many, Screen(quiet=quiet)
        self.bars = ConsoleProgress(self.screen)
        self._rows: list[Mapping[str, float]] = []
        self._epoch: tuple[str, int, float] | None = None

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> None:
        """An epoch of one of them is over."""
        key = title, epochs, row["epoch"]
        if key != self._epoch:
            self._flush()
            self._epoch = key
        self._rows.append(row)
        if len(self._rows) == self.many:
            self._flush()

    def _flush(self) -> None:
        if self._epoch is not None and self._rows:
            title, epochs, _ = self._epoch
            means = {name: fmean(row[name] for row in self._rows) for name in self._rows[0]}
            seconds = sum(row["seconds"] for row in self._rows)
            self.screen.say(epoch_line(f"{title} x{len(self._rows)}", {**means, "seconds": seconds}, epochs))
        self._rows = []

    def close(self) -> None:
        """Show what is left, and remove the bars."""
        self._flush()
        self.bars.close()


def epoch_line(title: str, row: Mapping[str, float], epochs: int) -> str:
    """One epoch in 80 columns: training loss, accuracies as shares, seconds."""
    shares = [f"{word} {row[name]:.4f}" for name, word in _ACCURACIES.items() if name in row]
    numbers = [f"loss {row['train_loss']:.4f}"[:11], *shares, f"{_rounded(row['seconds'])} s"]
    return f"{title} {row['epoch']:.0f}/{epochs}".ljust(23) + " ".join(["", *numbers])


def _rounded(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


def conversion_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """What became analog, in one line."""
    analog = [row for row in rows if row["tiles"]]
    tiles, devices, share = _sums(analog)
    return (
        f"on crossbars: {len(analog)} layers, {share} of the weights, {devices} devices on {tiles} tiles "
        "(show_layers=true lists them)"
    )


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
    for name in ("", "test error", "validation loss", "increase"):
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
        table.add_row("  on fresh devices", text, "", "")
    for time, error in errors_over_time(metrics):
        table.add_row(f"  after {time_text(time)}", f"{error:.2f} %", "", "")
    return table


def endurance_table(record: Mapping[str, Any]) -> Table:
    """What the devices of each array had to endure, counted."""
    rows, trainings = record["endurance"], record["config"]["evaluation"]["trainings"]
    calibrated = any(row["calibration"] for row in rows)
    table = Table(title="pulses per device", title_justify="left")
    for name in ("array", "mean", "99.9 %", "most", "never pulsed", *["calibration"] * calibrated, "needed"):
        table.add_column(name, justify="left" if name == "array" else "right")
    for row in rows:
        most, calibration = row["most"], row["calibration"]
        counts = (_pulses(row[name]) for name in ("mean", "high", "most"))
        before = [_pulses(calibration)] * calibrated
        life = _pulses(calibration + trainings * (most - calibration))
        table.add_row(row["array"], *counts, f"{row['never']:.1%}", *before, life)
    table.caption, table.caption_justify = f"needed: endurance for {trainings:,} trainings", "left"
    return table


def _pulses(count: float) -> str:
    return f"{count:.3g}" if count < 1000 or count >= 1e7 else f"{count:,.0f}"


def estimate_line(record: Mapping[str, Any]) -> str:
    """Time and energy of the training on a chip."""
    found, option = record["estimate"], record["choices"].get("hardware", "its constants")
    return (
        f"estimated on a chip (hardware={option}): {found['time_s']:.3g} s, layers at once {found['pipelined_s']:.3g} s, "
        f"{found['energy_j']:.3g} J"
    )


def seeds_table(
    records: Sequence[Mapping[str, Any]], means: Mapping[str, tuple[float, float, float]]
) -> Table:
    """The closing table of several seeds.

    Args:
        records: of their runs.
        means: of the metrics that are shown: mean, and the ends of its 95 % interval.
    """
    table = Table(title=f"{len(records)} seeds", title_justify="left")
    for title in ("seed", "state", *(OF_GRIDS.get(name, name.replace("_", " ")) for name in means)):
        table.add_column(title, justify="right")
    for record in records:
        cells = (f"{record['metrics'][name]:.2f}" for name in means)
        table.add_row(str(record["seed"]["training"]), record["state"], *cells)
    table.add_section()
    table.add_row("mean", "", *(f"{mean:.2f}" for mean, _, _ in means.values()), style="bold")
    table.add_row("95 %", "", *(f"{low:.2f} to {high:.2f}" for _, low, high in means.values()))
    return table


def grid_table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Table:
    """The closing table of a grid: one line per run.

    Args:
        rows: of the table of all runs (``crossweep.results.table``).
        keys: that the grid varies, as they were typed.
    """
    metrics = {name.removeprefix("metric.") for row in rows for name in row if name.startswith("metric.")}
    shown = [name for name in OF_GRIDS if name in metrics] or sorted(metrics)[:3]
    table = Table(title=f"{len(rows)} runs", title_justify="left")
    for name in (*keys, "state", *(OF_GRIDS.get(name, name.replace("_", " ")) for name in shown)):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: [str(_varied(row, key)) for key in keys]):
        numbers = (row.get(f"metric.{name}") for name in shown)
        cells = ["" if value is None or isnan(value) else f"{value:.4g}" for value in numbers]
        table.add_row(*(str(_varied(row, key)) for key in keys), str(row["state"]), *cells)
    return table


def _varied(row: Mapping[str, Any], key: str) -> Any:
    """What a run has for a key that was typed: a number, or a group's option."""
    return next((row[c] for c in (f"axis.{key}", f"choice.{key}", key) if c in row), "?")


def _score_cells(found: Mapping[str, float | None]) -> tuple[str, str]:
    """Test error and validation loss, as far as there are any."""
    error, loss = (found.get(k) for k in ("test_error", "validation_loss"))
    if error is None:
        return "no result", ""
    return f"{error:.2f} %", "" if loss is None else f"{loss:.4f}"


def show_result(record: Mapping[str, Any], folder: Path, screen: Screen, *, layers: bool) -> None:
    """Show what is analog (``layers``: every layer), the closing table and where the run lies."""
    if record["conversion"]:
        screen.say((conversion_table if layers else conversion_line)(record["conversion"]), result=True)
    screen.say(result_table(record), result=True)
    if record.get("endurance"):
        screen.say(endurance_table(record), result=True)
        screen.say(estimate_line(record), result=True)
    for sentence in record.get("warnings", ()):
        screen.say(f"note: {sentence}", result=True)
    rates = ", ".join(f"{k} {v:g}" for k, v in record["learning_rates"].items() if isinstance(v, int | float))
    screen.say(f"learning rates: {rates}", result=True)
    screen.say(f"{record['wall_seconds']:.0f} s; results in {folder}", result=True)
