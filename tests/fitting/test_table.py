"""Changes per pulse as they are: from trains, and from published tables of their distribution in both layouts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from crossweep.devices import response as law
from crossweep.devices.measured import measured, read
from crossweep.fit_device import main
from crossweep.fitting.published import published
from crossweep.fitting.scale import Scale
from crossweep.fitting.tabulated import of_trains
from crossweep.nodes import make
from crossweep.rng import Stream
from tests.fitting.matrix import Case
from tests.fitting.matrix import measured as made
from tests.fitting.recorded import response, save, table

G = np.linspace(10e-6, 60e-6, 6)
RISE = 2e-6 * (1 - (G - 10e-6) / 50e-6)
FALL = 2e-6 * (G - 10e-6) / 50e-6
NOISE = 0.4e-6


def quantiles(mean: np.ndarray) -> str:
    shares = np.linspace(0, 1, 101)
    inside = stats.norm.ppf((np.arange(101) + 0.5) / 101)
    rows = [", ".join(f"{m + NOISE * z:.6e}" for m in mean) for z in inside]
    head = [
        "1st row = G, 2nd row = CDF, then dG",
        ", ".join(f"{g:.6e}" for g in G),
        ", ".join(f"{p:.4f}" for p in shares),
    ]
    return "\n".join([*head, "", *rows]) + "\n"


def distribution(folder: Path, way: str, mean: np.ndarray) -> list[Path]:
    changes = np.linspace(-5e-6, 5e-6, 201)
    cdf = stats.norm.cdf((changes[None] - mean[:, None]) / NOISE)
    names = [f"{way}_{what}.txt" for what in ("axis_G", "axis_dG", "cdf")]
    texts = ["\n".join(f"{v:.6e}" for v in axis) for axis in (G, changes)]
    texts.append("\n".join(" ".join(f"{v:.6e}" for v in row) for row in cdf))
    return [save(folder / name, text) for name, text in zip(names, texts, strict=True)]


def files(folder: Path, layout: str) -> list[Path]:
    if layout == "quantiles":
        return [save(folder / f"dG_{k}.txt", quantiles(mean)) for k, mean in (("a", RISE), ("b", -FALL))]
    return distribution(folder, "set", RISE) + distribution(folder, "reset", -FALL)


@pytest.mark.parametrize("layout", ["quantiles", "distribution"])
def test_a_published_table_is_read(layout: str, tmp_path: Path) -> None:
    found = published(files(tmp_path, layout))
    assert found is not None and found[1] is not None
    for moments, mean in zip(found, (RISE, -FALL), strict=True):
        assert np.allclose(moments.conductance, G)  # type: ignore[union-attr]
        assert np.allclose(moments.mean, mean, atol=0.05e-6)  # type: ignore[union-attr]
        assert np.allclose(moments.std, NOISE, rtol=0.05)  # type: ignore[union-attr]


def test_pulse_trains_are_no_published_table(tmp_path: Path) -> None:
    assert published([save(tmp_path / "pulses.csv", table(response()))]) is None


@pytest.mark.parametrize("layout", ["quantiles", "distribution"])
def test_a_published_table_becomes_a_device(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main([*map(str, files(tmp_path, layout)), "--model", "table", "--name", "theirs"])
    assert "10 .. 60" in capsys.readouterr().out
    file = "multirun/devices/theirs/device.yaml"
    device = make(
        {"_target_": "crossweep.devices.measured.measured", "file": file, "fitted": read(file)}, "device"
    )
    one = device.response(device.draw((1, 1), Stream(0)))
    for w in (-0.6, 0.0, 0.5):
        for up, size in ((True, 0.04 * (1 - w)), (False, 0.04 * (1 + w))):
            assert float(law.step(one, torch.full((1, 1), w), up=up)) == pytest.approx(size, abs=0.002)
    assert float(device.symmetry_point(device.draw((1, 1), Stream(0)))) == pytest.approx(0, abs=0.02)
    assert measured(file=file, fitted=read(file))["dw_min_std"] == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize("every", [1, 5])
def test_a_table_from_trains_follows_the_device_that_made_them(every: int) -> None:
    device, cells, trains = made(Case("soft_bounds", 0.005, every, 25, 1))
    found = of_trains([Scale(1e-5, 6e-6).readings(t) for t in trains])
    (one,) = found.devices
    states, one_law = np.asarray(one.states), device.response(cells)
    w = 1 / 6e-6 * (trains[0].conductance - 1e-5)
    # a node averages some 70 changes (15 of five pulses) of 0.3 steps and two readings of 0.01: 0.003; 5 standard errors
    for way, steps in ((1, one.up), (-1, one.down)):
        moved = np.sign(trains[0].pulses[1:]) == way
        low, high = np.quantile((w[1:] + w[:-1])[moved] / 2, (0.05, 0.95))
        for v, size in zip(states, np.asarray(steps), strict=True):
            if low < v < high:
                truth = float(law.step(one_law, torch.full((1, 1), float(v)), up=way > 0))
                assert size == pytest.approx(truth, abs=0.015), (v, way)
    middle = len(states) // 2
    assert np.asarray(one.up_std)[middle] == pytest.approx(0.3 * 0.04, rel=0.5)
    assert found.reading < 0.02 and abs(found.symmetry_points[0] - 0.05) < 0.1
