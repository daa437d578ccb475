"""What a device paper shows, for any device option: ``crossweep-device device=reram_om``, ``gallery``.

Pulse response with spread, step against weight, symmetry points, pulse pairs at them, and a table.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from hydra import compose
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from crossweep.build import plain
from crossweep.composition import hydra_lent
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Affine, Response, pulse, step
from crossweep.devices.response import Table as Tabulated
from crossweep.errors import ConfigError, reported
from crossweep.nodes import make
from crossweep.paths import conf_dir, multirun_dir
from crossweep.rng import Stream
from crossweep.trust import packages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN, CENSUS = 25, (40, 50)  # devices drawn as curves; devices counted for histograms
PAIRS = 60


@dataclass(frozen=True)
class Card:
    """One device option and its drawn devices."""

    name: str
    device: AbstractDevice
    cells: Cells
    points: Tensor | None
    siemens: tuple[float, float] | None = None  # of weight 0, and per unit of weight

    @property
    def one_sided(self) -> bool:
        """Whether single devices only move upwards."""
        return self.device.update_policy == "one_sided"

    def few(self) -> Cells:
        """The devices that are drawn as curves, [1, n]."""
        return Cells.from_tensors(
            {key: t.flatten()[:SHOWN].unsqueeze(0) for key, t in self.cells.tensors().items()}
        )


def card(overrides: Sequence[str]) -> Card:
    """The device that ``device=...`` and further keys name.

    Raises:
        ConfigError: no or an unknown device, or a key breaks its rule.
    """
    if not any(text.startswith("device=") for text in overrides):
        raise ConfigError(
            f"device: must be one of {', '.join(names())}; e.g. crossweep-device device=reram_om"
        )
    with hydra_lent():
        given = [f"+{text}" if text.startswith(("device=", "plugins=")) else text for text in overrides]
        config = compose(overrides=given)
    node = plain(config)
    device = make(node["device"], "device", AbstractDevice, packages(node.get("plugins", [])))
    cells = device.draw(CENSUS, Stream(0, "card"))
    one_sided = device.update_policy == "one_sided"
    name = next(text for text in overrides if text.startswith("device=")).removeprefix("device=")
    about = node["device"].get("fitted", {})
    siemens = (about["siemens_zero"], about["siemens_per_w"]) if "siemens_per_w" in about else None
    points = None if one_sided else device.symmetry_point(cells)
    return Card(str(about.get("name", name)), device, cells, points, siemens)


def names() -> list[str]:
    """All device options that need no file."""
    found = sorted(path.stem for path in (conf_dir() / "device").glob("*.yaml"))
    return [name for name in found if not name.startswith("_") and name != "measured"]


def rows(one: Card) -> list[tuple[str, str]]:
    """The table of a card: what, and how much; a measured device in microsiemens too."""
    d = one.device

    def also(*states: float) -> str:
        return f" ({' .. '.join(_microsiemens(one, w) for w in states)} µS)" if one.siemens else ""

    def size(step: float) -> str:
        return f" ({1e6 * one.siemens[1] * step:.3g} µS)" if one.siemens else ""

    found = [
        ("model", type(d).__name__),
        ("range (mean bounds) [w]", f"{d.w_min:g} .. {d.w_max:g}{also(d.w_min, d.w_max)}"),
        ("states [1]", _states(d.states)),
        ("step in mid-range [w]", f"{d.granularity:.4g}{size(d.granularity)}"),
        ("step, device to device [dw_min]", f"{d.dw_min_dtod:g}{' log-normal' * d.dw_min_dtod_log_normal}"),
        ("pulse noise [step]", f"{d.dw_min_std:g} {_noise(d.response(one.cells))}"),
        ("write noise [dw_min]", f"{d.write_noise_std:g}{size(d.write_noise_std * d.dw_min)}"),
        ("bounds, device to device [own]", f"{d.w_max_dtod:g} upper, {d.w_min_dtod:g} lower"),
    ]
    if one.points is None:
        return [*found, ("symmetry point", "none")]
    mean, spread = float(one.points.mean()), float(one.points.std())
    return [*found, ("symmetry point [w]", f"{mean:+.3f}{also(mean)}, spread {spread:.3f}{size(spread)}")]


def _microsiemens(one: Card, w: float) -> str:
    assert one.siemens is not None
    return f"{1e6 * (one.siemens[0] + w * one.siemens[1]):.4g}"


def _noise(law: Response) -> str:
    """How the noise of a pulse follows the state."""
    if isinstance(law, Tabulated) and not torch.equal(law.curves[:2], law.curves[2:]):
        return "as tabulated"
    return "additive" if isinstance(law, Affine) and law.additive else "multiplicative"


# -- figures ---------------------------------------------------------------------------------------------


def response(one: Card, *, noisy: bool) -> tuple[np.ndarray, np.ndarray]:
    """States of the few devices over a train up and a train down: pulse numbers [t], states [t, n]."""
    cells, stream = one.few(), Stream(1, "card")
    law = one.device.response(cells)
    n = int(np.clip(1.5 * one.device.states, 12, 12_000))
    stride = max(1, n // 300)
    v = cells.w_min.clone()
    ups, downs = (n, 0) if one.one_sided else (n, n)
    path = [v]
    for t in range(ups + downs):
        noise = stream.normal(*v.shape, like=v) if noisy else None
        v = pulse(law, v, torch.full_like(v, 1.0 if t < ups else -1.0), cells, noise)
        path.append(v)
    kept = np.arange(0, len(path), stride)
    return kept, torch.cat(path)[kept].numpy()


def pairs(one: Card) -> np.ndarray:
    """States of the few devices under alternating single pulses, from either end of the range [t, 2 n]."""
    cells, v = one.few(), torch.cat([one.few().w_min, one.few().w_max], -1) * 0.6
    cells = Cells.from_tensors({key: torch.cat([t, t], -1) for key, t in cells.tensors().items()})
    law, path = one.device.response(cells), [v]
    many = max(1, round(one.device.states / PAIRS))
    for _ in range(2 * PAIRS):
        for k in range(2 * many):
            v = pulse(law, v, torch.full_like(v, 1.0 if k % 2 == 0 else -1.0), cells)
        path.append(v)
    return torch.cat(path).numpy()


def draw(one: Card, path: Path) -> Path:
    """The card as a figure of the panels that the device has something for; the format follows the name."""
    panels = [_draw_response, _draw_steps]
    panels += [_draw_points] * (one.points is not None) + [_draw_pairs] * (not one.one_sided)
    lines = -(-len(panels) // 2)
    figure = _figure((8.6, 2.9 * lines))
    places = figure.subplots(lines, 2, squeeze=False).flatten()
    for place, panel in zip(places, panels, strict=False):
        panel(place, one)
    for place in places[len(panels) :]:
        place.remove()
    figure.suptitle(
        f"{one.name}: {type(one.device).__name__}, {_states(one.device.states)} states", x=0.02, ha="left"
    )
    _legend(figure, places[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def gallery(cards: Sequence[Card], path: Path) -> Path:
    """The pulse response of all devices, those of a family side by side: of one formula for their steps."""
    columns = 4
    families = Counter(type(one.device).__name__ for one in cards)

    def order(one: Card) -> tuple[int, str, float]:
        family = type(one.device).__name__
        return -families[family], family, one.device.states

    lines = -(-len(cards) // columns)
    figure = _figure((2.2 * columns, 1.85 * lines))
    places = figure.subplots(lines, columns, squeeze=False).flatten()
    for place, one in zip(places, sorted(cards, key=order), strict=False):
        _draw_response(place, one, few=8)
        title = f"{one.name}\n{type(one.device).__name__}, {_states(one.device.states)} states"
        place.set_title(title, fontsize=9)
        place.set(xlabel="", ylabel="")
        place.tick_params(labelsize=8)
    for place in places[len(cards) :]:
        place.remove()
    _legend(figure, places[0])
    figure.supylabel("state [w]", fontsize=9)
    figure.supxlabel("pulses, first up, then down", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _states(states: float) -> str:
    return f"{states:,.0f}" if states >= 10 else f"{states:.1f}"


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _legend(figure: "Figure", drawn: "Axes") -> None:
    lines = drawn.get_lines()
    names = ["mean device", "single devices", "with pulse noise"]
    figure.legend(
        [lines[-1], lines[-2], lines[0]], names, loc="outside upper right", ncols=3, frameon=False, fontsize=9
    )


def _real(axes: "Axes", one: Card, which: str) -> None:
    """A second axis in microsiemens, where they are known."""
    if one.siemens is None:
        return
    zero, per_w = (1e6 * value for value in one.siemens)
    ways = (lambda w: zero + per_w * w), (lambda g: (g - zero) / per_w)
    made = axes.secondary_yaxis("right", ways) if which == "y" else axes.secondary_xaxis("top", ways)
    (made.set_ylabel if which == "y" else made.set_xlabel)("conductance [µS]")


def _draw_response(axes: "Axes", one: Card, few: int = SHOWN) -> None:
    x, noisy = response(one, noisy=True)
    _, quiet = response(one, noisy=False)
    axes.plot(x, noisy[:, :few], color="0.75", lw=0.7)
    axes.plot(x, quiet[:, :few], color="C0", lw=0.6, alpha=0.5)
    axes.plot(x, quiet.mean(1), color="C3", lw=1.6)
    axes.locator_params(nbins=4)
    axes.set(xlabel="pulses" if one.one_sided else "pulses, first up, then down", ylabel="state [w]")
    _real(axes, one, "y")


def _draw_steps(axes: "Axes", one: Card) -> None:
    cells, share = one.few(), torch.linspace(0, 1, 101).unsqueeze(-1)
    v = cells.w_min + (cells.w_max - cells.w_min) * share
    law = one.device.response(cells)
    ways = [("up", step(law, v, up=True), "C3")]
    if not one.one_sided:
        ways.append(("down", step(law, v, up=False), "C0"))
    for label, size, colour in ways:
        axes.plot(v.numpy(), size.numpy(), color=colour, lw=0.7, alpha=0.4)
        axes.plot(v.mean(1).numpy(), size.mean(1).numpy(), color=colour, lw=2, label=label)
    axes.set(xlabel="state [w]", ylabel="step of one pulse [w]")
    axes.set_ylim(bottom=0)
    # above the plot: a search for the best place takes as long as it likes
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def _draw_points(axes: "Axes", one: Card) -> None:
    axes.set(xlabel="symmetry point before any subtraction [w]", ylabel="devices")
    assert one.points is not None, "a panel of its own only for devices that have them"
    low, high = np.quantile(one.points.numpy(), (0.005, 0.995))
    pad = max(0.05 * (high - low), 0.02)
    axes.hist(one.points.flatten().numpy(), bins=50, range=(low - pad, high + pad), color="0.6")
    axes.axvline(float(one.points.mean()), color="C3", lw=1.5)


def _draw_pairs(axes: "Axes", one: Card) -> None:
    axes.set(ylabel="state [w]")
    path = pairs(one)
    many = max(1, round(one.device.states / PAIRS))
    axes.plot(many * np.arange(path.shape[0]), path, color="C0", lw=0.6, alpha=0.6)
    axes.set(xlabel="pairs of one pulse up, one down")
    _real(axes, one, "y")


# -- command line ----------------------------------------------------------------------------------------


@reported("crossweep", HydraException, OmegaConfBaseException)
def main(arguments: Sequence[str] | None = None) -> None:
    """``device=NAME [device.key=value ...]`` draws a card, ``gallery`` all devices side by side."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--help"], ["-h"]):
        print("usage: crossweep-device device=NAME [device.key=value ...] | gallery")
        print(f"devices: {', '.join(names())}")
        print("examples:\n  crossweep-device device=reram_om\n  crossweep-device gallery")
        print("  crossweep-device device=measured device.file=multirun/devices/my_rram/device.yaml")
    elif given == ["gallery"]:
        _gallery()
    else:
        _card(card(given))


def _card(one: Card) -> None:
    folder = multirun_dir() / "devices" / one.name
    written = [draw(one, folder / f"card.{kind}") for kind in ("png", "svg")]
    table = Table("", "", title=one.name, show_header=False)
    for what, much in rows(one):
        table.add_row(escape(what), escape(much))
    Console().print(table)
    print("\n".join(f"figure: {path}" for path in written))


def _gallery() -> None:
    cards = [card([f"device={name}"]) for name in names()]
    folder = multirun_dir() / "devices"
    written = [gallery(cards, folder / f"gallery.{kind}") for kind in ("png", "svg")]
    table = Table(
        "device", "model", "states", "step [w]".replace("[", r"\["), "symmetry point", title="devices"
    )
    for one in cards:
        point = "none" if one.points is None else f"{one.points.mean():+.3f} ± {one.points.std():.3f}"
        kind = type(one.device).__name__
        table.add_row(one.name, kind, _states(one.device.states), f"{one.device.granularity:.3g}", point)
    Console().print(table)
    print("\n".join(f"figure: {path}" for path in written))


if __name__ == "__main__":
    main()
