"""What a fit leaves on disk: the device's yaml, the table, and the figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossweep.fitting import responses
from crossweep.fitting.candidates import unpack
from crossweep.fitting.device_file import write_keys
from crossweep.fitting.fit import DeviceFit
from crossweep.fitting.keys import device_keys
from crossweep.fitting.scale import Scale
from crossweep.fitting.selection import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SHOWN = 40  # devices in a figure

_UNITS = {
    "step_up": "step up at 0 [w]",
    "step_down": "step down at 0 [w]",
    "w_max": "upper bound [w]",
    "w_min": "lower bound [w]",
    "cycle_noise": "pulse noise [step]",
    "reading_noise": "reading noise [w]",
}


def write_yaml(
    measurement: Measurement, path: Path, name: str = "device", extra: Mapping[str, float] | None = None
) -> Path:
    """The fitted device as `device=measured device.file=...` reads it; ``extra`` keys tell how it forgets."""
    best, source = measurement.best, measurement.source
    n = len(best.fits)
    lines = [f"# {best.candidate.label}, fitted to {n} device{'s' if n > 1 else ''} of {source.name}."]
    if n == 1:
        lines.append("# One device was measured, so nothing is known about the spread between devices.")
    lines += [f"# {note}" for note in measurement.notes]
    return write_keys(path, name, source, measurement.scale, device_keys(best) | dict(extra or {}), lines)


def model_rows(measurement: Measurement) -> list[tuple[str, str, str, str, str, str]]:
    """Model, its noise, parameters per device, BIC over the best, residual, correlation of residuals; *: not offered."""
    rows = []
    for m in measurement.models:
        name = m.candidate.name + " *" * (m.candidate.label in measurement.objections)
        noise = "additive" if m.candidate.additive else "multiplicative"
        excess = f"{m.bic - measurement.models[0].bic:.1f}"
        rows.append(
            (name, noise, str(len(m.candidate.parameters)), excess, f"{m.residual:.3f}", f"{m.memory:+.3f}")
        )
    return rows


def parameter_rows(measurement: Measurement) -> list[tuple[str, str, str, str]]:
    """Parameter, mean, 95 % interval, spread between devices of the best model."""
    rows = []
    for name, e in measurement.best.estimates.items():
        shown = f"{e.low:.4g} .. {e.high:.4g}" if np.isfinite([e.low, e.high]).all() else "not met"
        shown = "extreme reading" if e.low == e.high == e.mean else shown
        label = _UNITS.get(name, f"{name} [w]" if name.startswith(("up_", "down_")) else name)
        rows.append(
            (label, f"{e.mean:.4g}{_real(label, name, e.mean, measurement.scale)}", shown, f"{e.spread:.3g}")
        )
    points = measurement.best.symmetry_points
    points = points[np.isfinite(points)]
    if points.size:
        spread = f"{points.std(ddof=1):.3g}" if points.size > 1 else "0"
        mean, label = float(points.mean()), "symmetry point [w]"
        real = _real(label, "w_max", mean, measurement.scale)
        rows.append(
            (label, f"{mean:.4g}{real}", f"of {points.size} devices" if points.size > 1 else "", spread)
        )
    return rows


def _real(label: str, name: str, value: float, scale: Scale) -> str:
    """A weight in microsiemens: a place on the scale, or a difference."""
    if not label.endswith("[w]"):
        return ""
    place = scale.centre if name in ("w_max", "w_min") else 0.0
    return f" ({1e6 * (place + value * scale.half):.4g} µS)"


def draw(measurement: Measurement, path: Path, name: str = "device") -> Path:
    """Pulse response with the fit, step against weight, and residuals: one figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 2, width_ratios=(2, 1))
    _response(top[0], measurement)
    _steps(top[1], measurement)
    _residuals(bottom[0], bottom[1], measurement)
    best = measurement.best
    many = f"{len(best.fits)} devices" if len(best.fits) > 1 else "one device"
    figure.suptitle(f"{name}: {best.candidate.label}, {many} of {measurement.source.name}", fontsize=11)
    for axes in figure.axes:
        axes.title.set_fontsize(10)
        axes.locator_params(nbins=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def simulate(device: DeviceFit) -> np.ndarray:
    """The noise-free path of a fitted device along its own pulses, from its first reading [t]."""
    q, code = unpack(device.candidate, device.x, device.readings.ends), device.candidate.code
    w = device.readings.w
    first = int(np.flatnonzero(np.isfinite(w))[0])
    path, v = np.full(w.size, np.nan), float(w[first])
    path[first] = v
    for k in range(first + 1, w.size):
        if device.readings.starts[k] or not np.isfinite(v):
            v = float(w[k])  # NaN until it is read
        up = bool(device.readings.pulses[k] > 0)
        for _ in range(abs(int(device.readings.pulses[k]))):
            size = responses.step(code, q.p, q.low, q.high, v, up)
            v = min(max(v + (size if up else -size), q.low), q.high)
        path[k] = v
    return path


def _response(axes: "Axes", measurement: Measurement) -> None:
    scale, fits = measurement.scale, measurement.best.fits[:SHOWN]
    zero, unit = 1e6 * scale.centre, 1e6 * scale.half
    places = [np.cumsum(np.abs(device.readings.pulses)) for device in fits]
    for x, device in zip(places, fits, strict=True):
        axes.plot(x, zero + unit * device.readings.w, ".", ms=2, color="0.6")
    for x, device in zip(places, fits, strict=True):
        axes.plot(x, zero + unit * simulate(device), color="C0", lw=1, alpha=_alpha(measurement))
    dots, lines = axes.lines[0], axes.lines[-1]
    _above(axes, [dots, lines], ["readings", "fit without noise"])
    axes.set(xlabel="pulse", ylabel="conductance [µS]")


def _steps(axes: "Axes", measurement: Measurement) -> None:
    w, shown = np.linspace(-1, 1, 200), {}
    for device in measurement.best.fits[:SHOWN]:
        q, code = unpack(device.candidate, device.x, device.readings.ends), device.candidate.code
        for way, colour in (("up", "C3"), ("down", "C0"))[: 1 if device.readings.one_way else 2]:
            size = [
                responses.step(code, q.p, q.low, q.high, float(v), way == "up")
                if q.low < v < q.high
                else np.nan
                for v in w
            ]
            (shown[way],) = axes.plot(w, size, color=colour, lw=1, alpha=_alpha(measurement))
    points = measurement.best.symmetry_points
    for point in points[np.isfinite(points)][:SHOWN]:
        shown["symmetry point"] = axes.axvline(point, color="0.5", lw=0.8, ls=":")
    _above(axes, list(shown.values()), list(shown))
    axes.set(xlabel="state [w]", ylabel="step of one pulse [w]")
    axes.set_ylim(bottom=0)


def _alpha(measurement: Measurement) -> float:
    return 0.9 if len(measurement.best.fits) < 6 else 0.35


def _above(axes: "Axes", lines: "Sequence[Line2D]", labels: Sequence[str]) -> None:
    """A legend above the plot, where it hides no data."""
    axes.legend(
        lines, labels, ncols=len(labels), loc="lower right", bbox_to_anchor=(1.0, 1.0),
        frameon=False, fontsize=9, handlelength=1.4, columnspacing=1.2, borderpad=0.2, markerscale=3,
    )  # fmt: skip


def _residuals(left: "Axes", right: "Axes", measurement: Measurement) -> None:
    for device in measurement.best.fits[:SHOWN]:
        left.plot(np.cumsum(np.abs(device.readings.pulses)), device.residuals, ".", ms=2, color="0.4")
    left.axhline(0, color="C0", lw=0.8)
    left.set(
        xlabel="pulse",
        ylabel="residual [standard deviation]",
        title="what the fit leaves, reading by reading",
    )
    every = np.concatenate([f.residuals[np.isfinite(f.residuals)] for f in measurement.best.fits])
    right.hist(every, bins=60, range=(-5, 5), density=True, color="0.7")
    z = np.linspace(-5, 5, 200)
    right.plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), color="C0", lw=1)
    right.set(xlabel="residual [standard deviation]", ylabel="density", title="and the normal law")
