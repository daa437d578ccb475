"""The entry point for your own device: a measured pulse response becomes a device of the configuration.

``crossweep-fit-device pulses.csv --name my_rram``, then
``crossweep-train device=measured device.file=multirun/devices/my_rram/device.yaml``.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossweep.console import working
from crossweep.devices.measured import read as read_device
from crossweep.errors import ConfigError, reported
from crossweep.fitting.candidates import NAMES, choose
from crossweep.fitting.columns import parse_said
from crossweep.fitting.device_file import digest, write_keys
from crossweep.fitting.layouts import Given
from crossweep.fitting.published import published
from crossweep.fitting.reading import Layout, Recording, read
from crossweep.fitting.report import draw, model_rows, parameter_rows, write_yaml
from crossweep.fitting.retention import fit_retention, read_retention
from crossweep.fitting.scale import Scale
from crossweep.fitting.selection import Measurement, fit_all
from crossweep.fitting.table_report import draw_table, table_rows
from crossweep.fitting.tabulated import Tabulated, of_published, of_trains
from crossweep.paths import multirun_dir

_EPILOG = """\
Any table with a conductance (or a current, or a resistance) after every pulse, in the order of measurement: pulse
number and polarity as columns, cycles as columns, SET and RESET in files of their own, potentiation and depression
side by side. What was understood is printed first.

examples:
  crossweep-fit-device pulses.csv --name my_rram
  crossweep-fit-device pulses.csv --name my_rram --retention retention.csv
  crossweep-fit-device set.csv reset.csv --unit uS --columns pulse=n,conductance=G,device=chip+cell
  crossweep-train device=measured device.file=multirun/devices/my_rram/device.yaml
"""
_MODEL = (
    "compare only this model; may be repeated. table, alone: the measured change per pulse as it is, also from published "
    "tables of its distribution"
)


def fit_device(
    *sources: Path,
    layout: Layout | None = None,
    ends: tuple[float, float] | None = None,
    models: Sequence[str] | None = None,
) -> Measurement:
    """Fit the pulse trains in one or several files.

    Args:
        sources: the files of one measurement, see ``crossweep.fitting.reading.read``.
        layout: what they leave open.
        ends: conductances of weight -1 and +1 [S]; by default the devices' mean extremes.
        models: the models to compare; all by default.
    """
    return fit_recording(sources, read(sources, layout), ends, models)


def fit_recording(
    sources: Sequence[Path],
    recording: Recording,
    ends: tuple[float, float] | None,
    models: Sequence[str] | None,
) -> Measurement:
    """Fit what was read."""
    return fit_all(sources[0], recording.trains, Scale.of(recording.trains, ends), choose(models))


@reported("crossweep-fit-device")
def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, read, show what was understood, fit, write and show."""
    options = _parser().parse_args(arguments)
    ends = tuple(options.range) if options.range else None
    name = options.name or re.sub(r"[^\w+-]+", "_", options.files[0].name.partition(".")[0])
    folder, tabulate = _folder(name, options), options.model == ["table"]
    given = Given(options.unit, options.read_voltage)
    if tabulate and (found := published(options.files)) is not None:
        scale = Scale.over(found[0].conductance, ends, pair=found[1] is None)
        return finish_table(of_published(*found, scale), scale, options, folder, name)
    recording = read(options.files, Layout(parse_said(options.columns), given, options.decimal, options.zero))
    show_understood(recording)
    scale = Scale.of(recording.trains, ends)
    if tabulate:
        tabulated = of_trains([scale.readings(t) for t in recording.trains])
        return finish_table(tabulated, scale, options, folder, name)
    forgotten = _retention(options, scale)
    many = len(choose(options.model))
    with working(f"fitting {many} model{'s' * (many > 1)} to {len(recording.trains)} train(s) of pulses"):
        measurement = fit_recording(options.files, recording, ends, options.model)
    yaml = write_yaml(measurement, folder / "device.yaml", name, forgotten)
    figure = draw(measurement, folder / "fit.png", name)
    show(measurement)
    return _tell(figure, yaml)


def _retention(options: argparse.Namespace, scale: Scale) -> dict[str, float]:
    """Keys of what the device forgets, shown as they are found; none without a file."""
    if options.retention is None:
        return {}
    given = Given(options.unit, options.read_voltage)
    series = read_retention(options.retention, scale, Layout({}, given, options.decimal))
    found = fit_retention(series)
    table = Table(title=f"retention of {len(series)} series (residual {found.residual:.3f}, 1 is ideal)")
    for header in ("parameter", "estimate", "95 % interval"):
        table.add_column(header, justify="left" if header == "parameter" else "right")
    for row in found.rows():
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
    return found.keys()


def finish_table(
    tabulated: Tabulated, scale: Scale, options: argparse.Namespace, folder: Path, name: str
) -> None:
    """Write and show a device as a table."""
    n, source = len(tabulated.devices), options.files[0]
    lines = [f"# Measured changes per pulse of {n} device{'s' if n > 1 else ''} of {source.name}."]
    keys = tabulated.keys() | _retention(options, scale)
    yaml = write_keys(folder / "device.yaml", name, source, scale, keys, lines)
    figure = draw_table(tabulated, scale, name, folder / "fit.png")
    shown = Table("", "", title=f"{name}: measured change per pulse", show_header=False)
    for what, much in table_rows(tabulated, scale):
        shown.add_row(escape(what), escape(much))
    Console().print(shown)
    _tell(figure, yaml)


def _tell(figure: Path, yaml: Path) -> None:
    print(f"figure: {figure}\ndevice: {yaml}\nuse it: crossweep-train device=measured device.file={yaml}")


def _folder(name: str, options: argparse.Namespace) -> Path:
    """Where the device goes; a name that stands for another file's device is refused unless it was given on purpose."""
    if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
        raise ConfigError(f"--name: must be letters, digits and any of _ . + -, got {name!r}")
    folder: Path = options.out or multirun_dir() / "devices" / name
    there = folder / "device.yaml"
    if there.is_file() and options.name is None and options.out is None and options.files[0].is_file():
        before = read_device(str(there)).get("source_digest")
        if before is not None and before != digest(options.files[0]):
            raise ConfigError(
                f"{there} holds the device of another file; give --name to keep both, or to replace it"
            )
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crossweep-fit-device",
        description="Fit a measured pulse response to device models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", metavar="FILE", nargs="+", type=Path, help="tables of one measurement, also .gz")
    add("--model", action="append", choices=(*NAMES, "table"), help=_MODEL)
    add(
        "--columns",
        help="role=column,...: pulse, polarity, voltage, conductance, up, down, device (a+b), cycle",
    )
    add("--unit", help="unit of the values if the file does not say it: uS, nS, uA, kOhm, ...")
    add("--read-voltage", type=float, metavar="V", help="turns currents into conductances [V]")
    add("--decimal", choices=(".", ","), help="decimal mark, if the numbers can be read with either")
    add(
        "--zero",
        choices=("before", "after"),
        help="whether readings numbered 0 precede a train's first pulse",
    )
    add(
        "--retention",
        type=Path,
        metavar="FILE",
        help="conductance over the time after programming, [s] unless it says",
    )
    add("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="conductances of weight -1 and +1 [S]")
    add("--name", help="of the device, its folder and its titles (the name of the first file)")
    add("--out", type=Path, help="folder for device.yaml and fit.png (multirun/devices/<name>)")
    return parser


def show_understood(recording: Recording) -> None:
    """Print how the files were read."""
    table = Table("", "", title="what was read", show_header=False)
    for what, how in recording.understood:
        table.add_row(escape(what), escape(how))
    Console().print(table)


def show(measurement: Measurement) -> None:
    """Print the comparison of the models and the parameters of the best one."""
    console = Console()
    models = Table(title="the most probable first (BIC over the best; ideal: residual 1, memory 0)")
    for header in ("model", "pulse noise", "parameters", "BIC", "residual", "memory"):
        models.add_column(
            header, justify="left" if header in ("model", "pulse noise") else "right", no_wrap=True
        )
    for row in model_rows(measurement):
        models.add_row(*(escape(cell) for cell in row))
    console.print(models)
    for label, why in measurement.objections.items():
        console.print(f"* {label} is not offered: {escape(why)}")
    others = [m.candidate.label for m in measurement.likeliest if m is not measurement.best]
    if others:
        console.print(
            f"The data cannot tell {measurement.best.candidate.label} from: {', '.join(others)} (BIC within 2)."
        )
    for note in measurement.notes:
        console.print(f"note: {escape(note)}")
    many = len(measurement.best.fits)
    of = f"mean of {many} devices" if many > 1 else "one device"
    parameters = Table(title=f"{measurement.best.candidate.label}: {of}")
    headers = ("parameter", "mean" if many > 1 else "value", "95 % interval", "spread")[
        : 4 if many > 1 else 3
    ]
    for header in headers:
        parameters.add_column(header, justify="left" if header == "parameter" else "right", no_wrap=True)
    for values in parameter_rows(measurement):
        parameters.add_row(*(escape(cell) for cell in values[: len(headers)]))
    console.print(parameters)


if __name__ == "__main__":
    main()
