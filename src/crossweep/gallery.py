"""Every training rule on the same two small tasks: ``python -m crossweep.gallery`` or ``make algorithms``.

Writes ``multirun/algorithms/``: ``correlation.png``, ``constant_gradient.png``, one ``<algorithm>.png`` each,
``table.csv``. Minutes on one core; no data.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.zero_shifting import ZeroShifting
from crossweep.chosen import option
from crossweep.engine.io_parameters import PERFECT
from crossweep.errors import reported
from crossweep.paths import conf_dir, multirun_dir
from crossweep.rng import Stream
from crossweep.testbeds.base import AbstractTestbed, BedResult
from crossweep.testbeds.constant_gradient import ConstantGradient
from crossweep.testbeds.correlation_detection import CorrelationDetection
from crossweep.tiles.factory import TileFactory

OFFSETS = {"centred": 0.0, "skewed": -0.5}  # visible symmetry point of the fast tile [w_max]
# both tasks are short, so buffers must be small and flips frequent; values of aihwkit's example and Rasch et al.
SHORT = {"auto_granularity": 200.0, "in_chop_prob": 0.1}
SHORT_TRAINS = 5  # slots of the rules with such a buffer
SHORT_ADAM = {"transfer_lr": 0.1}  # of reads that are normalised, which have a rate in place of a granularity
DEVICE: dict[str, Any] = {  # 40 states, spreads of Rasch et al., Nat. Commun. 15:7133 (2024), Fig. 3
    "dw_min": 0.05, "dw_min_dtod": 0.3, "dw_min_dtod_log_normal": True, "dw_min_std": 0.3, "up_down_dtod": 0.1,
    "w_max": 1.0, "w_min": -1.0, "w_max_dtod": 0.3, "w_min_dtod": 0.3,
}  # fmt: skip
COLOURS = {"centred": "#4477aa", "skewed": "#cc6677"}
KINDS = (  # solid and dashed lines of the two tasks
    ("weights with a gradient (diagonal)", "weights without"),
    ("weights of correlated inputs (diagonal)", "of uncorrelated ones"),
)
FLAT = 2 * DEVICE["dw_min"]
COLUMNS = (
    *("algorithm", "symmetry_point", "diagonal", "diagonal_std", "elsewhere", "elsewhere_std", "separation"),
    *("pulses_per_device_and_sample", "column_reads_per_sample", "digital_operations_per_sample"),
    "digital_values_per_weight",
)


def options() -> list[str]:
    """Names of the algorithm options that have tiles, simplest first."""
    found = sorted(p.stem for p in (conf_dir() / "algorithm").glob("*.yaml") if p.stem[0] != "_")
    first = ["analog_sgd", "mixed_precision", "ttv1", "residual_learning", "ttv2", "rlv2", "cttv2", "agad"]
    return [*(n for n in first if n in found), *(n for n in found if n not in first and n != "digital")]


def rule(name: str) -> AbstractAlgorithm:
    """The option with its defaults, buffers shortened."""
    made: AbstractAlgorithm = option("algorithm", name)
    if isinstance(made, ZeroShifting):
        return replace(made, then=_shortened(made.then))
    return _shortened(made)


def _shortened(made: AbstractAlgorithm) -> AbstractAlgorithm:
    names = {field.name for field in fields(made)}
    changes: dict[str, Any] = {key: value for key, value in SHORT.items() if key in names}
    if getattr(made, "normalise", "none") != "none":
        del changes["auto_granularity"]
        changes |= SHORT_ADAM
    if "auto_granularity" in changes:
        changes["update"] = replace(made.update, desired_bl=SHORT_TRAINS)  # type: ignore[attr-defined]
    return replace(made, **changes)


def run(bed: AbstractTestbed, made: AbstractAlgorithm, offset: float, seed: int) -> BedResult:
    """One rule on one task; the same seed means the same devices and inputs for every rule."""
    root, device = Stream(seed), option("device", "soft_bounds", **DEVICE)
    # a rule with one tile has the offset there: it plays both parts
    factory = TileFactory(
        fast=device,
        slow=device,
        symmetry_point=option("symmetry_point", "centred", skew=offset),
        engine=option("engine", "count", backend="reference"),
        forward=PERFECT,
        backward=PERFECT,
        population=root.fork("devices"),
        draws=root.fork("draws"),
    )
    return bed.run(made, factory, root.fork("task"))


def row(name: str, point: str, outcome: BedResult) -> dict[str, Any]:
    """One line of the table."""
    found, cost = outcome.metrics, outcome.cost
    samples, weights = cost["samples"], cost["weights"]
    memory = cost["digital_memory"] / weights
    values = (
        *(name, point, found["on_mean"], found["on_std"], found["off_mean"], found["off_std"]),
        found["separation"],
        # instances see one sample each, so samples per device are samples over instances
        cost["pulses"] / (cost["devices"] * samples / outcome.instances),
        cost["slice_reads"] / samples,
        cost["digital_operations"] / samples,
        memory,
    )
    return dict(zip(COLUMNS, values, strict=True))


# -- figures -------------------------------------------------------------------------------------------------


def draw(axes: Axes, outcomes: Mapping[str, BedResult], off: int, title: str) -> None:
    """Diagonal weights solid, the others dashed; colours tell the symmetry point."""
    for point, outcome in outcomes.items():
        steps, curve = outcome.steps.numpy(), outcome.curve.numpy()
        axes.plot(steps, curve[:, 0], color=COLOURS[point])
        axes.plot(steps, curve[:, off], color=COLOURS[point], linestyle="--")
    axes.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=4)


def sheet(results: Mapping[str, Mapping[str, BedResult]], off: int, title: str) -> Figure:
    """One panel per rule, shared axes."""
    columns = 4
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(2.4 * columns, 1.9 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, outcomes) in zip(grid, results.items(), strict=False):
        draw(axes, outcomes, off, name)
        if max(float(outcome.curve[:, [0, off]].abs().max()) for outcome in outcomes.values()) < FLAT:
            text = "moves by less than two\nsteps of a device in this time"
            axes.text(0.5, 0.75, text, ha="center", transform=axes.transAxes, fontsize=8, color="0.35")
    for axes in grid[len(results) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    for axes in grid[max(len(results) - columns, 0) : len(results)]:
        axes.set_xlabel("training samples", fontsize=8)
        axes.tick_params(labelbottom=True)
    figure.supylabel("weight [w]", fontsize=9)
    _legend(figure, 4, KINDS[off - 1])
    return figure


def _legend(figure: Figure, columns: int, kinds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour) for colour in COLOURS.values()]
    lines += [Line2D([], [], color="0.3", linestyle=style) for style in ("-", "--")]
    labels = [f"symmetry point {'at 0' if not OFFSETS[p] else f'off by {OFFSETS[p]:g}'}" for p in COLOURS]
    labels += kinds
    figure.legend(
        lines, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False, handlelength=3.0
    )


def single(name: str, both: tuple[Mapping[str, BedResult], Mapping[str, BedResult]]) -> Figure:
    """The two tasks of one rule side by side."""
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    for axes, outcomes, off, title in zip(
        figure.subplots(1, 2), both, (1, 2), ("constant gradient", "correlation detection"), strict=True
    ):
        draw(axes, outcomes, off, title)
        axes.set_xlabel("training samples", fontsize=8)
    figure.suptitle(name, fontsize=10)
    _legend(figure, 2, ("diagonal: gradient, correlated inputs", "elsewhere"))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write under a temporary name, then move."""
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=130, format="png")
    temporary.replace(path)


# -- command line --------------------------------------------------------------------------------------------


@reported("crossweep.gallery")
def main() -> None:
    """Run, print the table, write the figures."""
    parser = argparse.ArgumentParser(prog="crossweep.gallery", description=__doc__)
    parser.add_argument(
        "--samples", type=int, default=4000, help="length of both tasks (default %(default)s)"
    )
    parser.add_argument("--instances", type=int, default=8, help="independent tiles (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of algorithm options (default: all)")
    given = parser.parse_args()
    folder = multirun_dir() / "algorithms"
    folder.mkdir(parents=True, exist_ok=True)
    beds = (
        option(ConstantGradient, instances=given.instances, samples=given.samples, correlation=0.4),
        option(
            CorrelationDetection, instances=given.instances, samples=given.samples, tail=given.samples // 5
        ),
    )
    results: tuple[dict[str, dict[str, BedResult]], dict[str, dict[str, BedResult]]] = ({}, {})
    rows = []
    print(f"{'algorithm':22} {'point':8} {'diagonal':>9} {'elsewhere':>10} {'separation':>11}", flush=True)
    for name in given.only or options():
        made = rule(name)
        for bed, kept in zip(beds, results, strict=True):
            kept[name] = {point: run(bed, made, offset, given.seed) for point, offset in OFFSETS.items()}
        for point, outcome in results[1][name].items():
            line = row(name, point, outcome)
            rows.append(line)
            numbers = f"{line['diagonal']:9.3f} {line['elsewhere']:10.3f} {line['separation']:11.1f}"
            print(f"{name:22} {point:8} {numbers}", flush=True)
        save(single(name, (results[0][name], results[1][name])), folder / f"{name}.png")
    rising, falling = "diagonal weights should rise", "diagonal weights should fall"
    save(sheet(results[0], 1, f"A constant gradient: {rising}"), folder / "constant_gradient.png")
    save(sheet(results[1], 2, f"Correlation detection: {falling}"), folder / "correlation.png")
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    table = folder / ".table.csv"
    table.write_text(text.getvalue())
    table.replace(folder / "table.csv")
    print(f"figures and table.csv are in {folder}")


if __name__ == "__main__":
    main()
