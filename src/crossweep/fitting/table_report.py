"""What a table device shows of itself: a few numbers, and its curves in microsiemens."""

from pathlib import Path

import numpy as np

from crossweep.fitting.scale import Scale
from crossweep.fitting.tabulated import Tabulated


def table_rows(tabulated: Tabulated, scale: Scale) -> list[tuple[str, str]]:
    """What, and how much."""
    keys, points = tabulated.keys(), tabulated.symmetry_points
    unit = 1e6 * scale.half
    numbers = {k: v for k, v in keys.items() if isinstance(v, float)}
    step, low, high = numbers["dw_min"], numbers["w_min"], numbers["w_max"]
    found = [
        ("devices", f"{len(tabulated.devices)}"),
        ("range [µS]", f"{1e6 * scale.centre + low * unit:.4g} .. {1e6 * scale.centre + high * unit:.4g}"),
        ("step in mid-range [w]", f"{step:.4g} ({step * unit:.4g} µS)"),
        ("states [1]", f"{(high - low) / step:.3g}"),
        ("pulse noise in mid-range [step]", f"{numbers['dw_min_std']:.3g}"),
        ("reading noise [w]", f"{tabulated.reading:.3g} ({tabulated.reading * unit:.3g} µS)"),
    ]
    known = points[np.isfinite(points)]
    if known.size:
        mean = f"{known.mean():+.3f} ({1e6 * scale.centre + known.mean() * unit:.4g} µS)"
        found.append(("symmetry point [w]", f"{mean}, of {known.size} devices"))
    else:
        found.append(("symmetry point [w]", "none"))
    return found


def draw_table(tabulated: Tabulated, scale: Scale, name: str, path: Path) -> Path:
    """Mean change and its spread against conductance."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    unit = 1e6 * scale.half
    for one in tabulated.devices[:40]:
        g = 1e6 * scale.centre + unit * np.asarray(one.states)
        for mean, std, sign, colour in ((one.up, one.up_std, 1, "C3"), (one.down, one.down_std, -1, "C0")):
            if mean is not None:
                centre, reach = sign * unit * np.asarray(mean), unit * np.asarray(std)
                axes.plot(g, centre, color=colour, lw=1.2)
                axes.fill_between(g, centre - reach, centre + reach, color=colour, alpha=0.15, lw=0)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(
        xlabel="conductance [µS]",
        ylabel="change per pulse [µS]",
        title=f"{name}: mean and standard deviation",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path
