"""The entry point for your own device: a measured pulse response becomes a device of the configuration.

``crossweep-fit-device pulses.csv``, then
``crossweep-train device=measured device.file=multirun/devices/pulses/device.yaml``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossweep.errors import reported
from crossweep.fitting.candidates import NAMES, choose
from crossweep.fitting.population import Measurement, Scale, fit_all
from crossweep.fitting.report import draw, model_rows, parameter_rows, write_yaml
from crossweep.fitting.trains import read_trains
from crossweep.paths import multirun_dir

_EPILOG = """\
The table needs the columns pulse, polarity (+1/-1, up/down, set/reset, P/D) and conductance (after that
pulse), in the order of measurement, and a column device if several were measured. Units go into the
header: G [uS].
"""


def fit_device(
    source: Path,
    *,
    unit: str | None = None,
    ends: tuple[float, float] | None = None,
    models: Sequence[str] | None = None,
) -> Measurement:
    """Fit a CSV of pulse trains.

    Args:
        source: the CSV, see ``crossweep.fitting.trains.read_trains``.
        unit: unit of the conductances, if the header does not say it.
        ends: conductances of weight -1 and +1 [S]; by default the devices' mean extremes.
        models: the models to compare; all by default.
    """
    trains = read_trains(source, unit=unit)
    return fit_all(source, trains, Scale.of(trains, ends), choose(models))


@reported("crossweep")
def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, fit, write and show."""
    options = _parser().parse_args(arguments)
    ends = tuple(options.range) if options.range else None
    measurement = fit_device(options.csv, unit=options.unit, ends=ends, models=options.model)
    folder = options.out or multirun_dir() / "devices" / options.csv.stem
    yaml = write_yaml(measurement, folder / "device.yaml")
    figure = draw(measurement, folder / "fit.png")
    show(measurement)
    print(f"figure: {figure}\ndevice: {yaml}\nuse it: crossweep-train device=measured device.file={yaml}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crossweep-fit-device",
        description="Fit a measured pulse response to device models.",
        epilog=_EPILOG,
    )
    parser.add_argument("csv", type=Path, help="pulse trains: pulse, polarity, conductance, device")
    parser.add_argument(
        "--model", action="append", choices=NAMES, help="compare only this model; may be repeated"
    )
    parser.add_argument(
        "--unit", help="unit of the conductances (S, mS, uS, nS) if the header does not say it"
    )
    parser.add_argument(
        "--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="conductances of weight -1 and +1 [S]"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for device.yaml and fit.png (multirun/devices/<name>)"
    )
    return parser


def show(measurement: Measurement) -> None:
    """Print the comparison of the models and the parameters of the best one."""
    console = Console()
    models = Table(title="models, the most probable first")
    for header in (
        "model",
        "parameters",
        "AIC over best",
        "residual (1 is ideal)",
        "residual memory (0 is ideal)",
    ):
        models.add_column(header, justify="left" if header == "model" else "right")
    for row in model_rows(measurement):
        models.add_row(*(escape(cell) for cell in row))
    console.print(models)
    if measurement.rivals:
        names = ", ".join(m.candidate.label for m in measurement.rivals)
        console.print(f"The data cannot tell the first from: {names} (AIC within 2).")
    parameters = Table(title=f"{measurement.best.candidate.label}: parameters over the devices")
    for header in ("parameter", "mean", "95 % interval", "spread between devices"):
        parameters.add_column(header, justify="left" if header == "parameter" else "right")
    for values in parameter_rows(measurement):
        parameters.add_row(*(escape(cell) for cell in values))
    console.print(parameters)


if __name__ == "__main__":
    main()
