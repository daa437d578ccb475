"""Drift, decay and diffusion come back from made conductances over time, each only where it is there."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from crossweep.devices.measured import read
from crossweep.errors import ConfigError
from crossweep.fit_device import main
from crossweep.fitting.layouts import Given
from crossweep.fitting.reading import Layout
from crossweep.fitting.retention import Series, fit_retention, read_retention
from crossweep.fitting.scale import Scale
from tests.fitting.recorded import response, save, table

SECONDS = np.geomspace(1, 1e5, 60)
SCALE = Scale(35e-6, 25e-6)
STARTS = (-0.8, -0.3, 0.4, 0.9)
READING = 0.003


def made(
    *, nu: float = 0.0, lifetime: float = np.inf, reset: float = 0.0, diffusion: float = 0.0, seed: int = 0
) -> list[Series]:
    rng, found = np.random.default_rng(seed), []
    for start in STARTS:
        v, path = start, [start]
        for before, after in pairwise(SECONDS):
            gap = after - before
            v = (
                reset
                + (v - reset) * np.exp(-gap / lifetime)
                + diffusion * np.sqrt(gap) * rng.standard_normal()
            )
            v *= (after / before) ** -nu
            path.append(v)
        found.append(
            Series(f"{start}", SECONDS, np.array(path) + READING * rng.standard_normal(SECONDS.size))
        )
    return found


@pytest.mark.parametrize(
    "truth",
    [
        {},
        {"nu": 0.05},
        {"lifetime": 2e4, "reset": -0.4},
        {"diffusion": 3e-4},
        {"nu": 0.03, "diffusion": 2e-4},
    ],
    ids=str,
)
def test_what_is_there_is_found_and_nothing_else(truth: dict[str, float]) -> None:
    found = fit_retention(made(**truth))
    expected = {"reading": READING} | truth
    if "lifetime" in expected:
        expected["rate"] = 1 / expected.pop("lifetime")
    assert set(found.names) == set(expected)
    for name, value in expected.items():
        middle, low, high = found.values[name]
        # 4.9 standard errors instead of 1.96, on the scale of the interval
        off = abs(middle - value) if name == "reset" else abs(np.log(middle / value))
        reach = (high - low) / 2 if name == "reset" else np.log(high / low) / 2
        assert off < 2.5 * reach, (name, middle, low, high)


def test_the_keys_count_a_mini_batch_as_a_second() -> None:
    keys = fit_retention(made(lifetime=2e4, reset=-0.4)).keys()
    assert keys["lifetime"] == pytest.approx(2e4, rel=0.1) and keys["reset"] == pytest.approx(-0.4, abs=0.05)
    assert keys["drift_nu"] == keys["diffusion"] == 0.0


def text(series: list[Series], layout: str) -> str:
    g = [1e6 * (SCALE.centre + SCALE.half * s.w) for s in series]
    if layout == "devices as columns":
        rows = [f"{t / 60:.6f}," + ",".join(f"{one[k]:.4f}" for one in g) for k, t in enumerate(SECONDS)]
        return "\n".join(["time [min]," + ",".join(f"G{k} [uS]" for k in range(len(g))), *rows])
    rows = [f"{t:.5f};{one[k]:.4f};A{n}" for n, one in enumerate(g) for k, t in enumerate(SECONDS)]
    return "\n".join(["t (s);conductance_uS;device", *rows])


@pytest.mark.parametrize("layout", ["devices as columns", "one below the other"])
def test_files_of_both_layouts_are_read(layout: str, tmp_path: Path) -> None:
    series = made(nu=0.05)
    found = read_retention(save(tmp_path / "ret.csv", text(series, layout)), SCALE, Layout())
    assert len(found) == 4
    for one, other in zip(found, series, strict=True):
        assert np.allclose(one.seconds, other.seconds, rtol=1e-3, atol=1e-4) and np.allclose(
            one.w, other.w, atol=1e-4
        )


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("time", 1.0),
        ("elapsed time", 1.0),
        ("time [ns]", 1e-9),
        ("time (µs)", 1e-6),
        ("time_ms", 1e-3),
        ("time / ks", 1e3),
        ("t, hours", 3600.0),
        ("time [d]", 86400.0),
        ("time [yr]", 31557600.0),
    ],
)
def test_times_have_the_unit_that_is_written(header: str, factor: float, tmp_path: Path) -> None:
    rows = "\n".join(f"{k};20" for k in range(1, 10))
    (one,) = read_retention(save(tmp_path / "ret.csv", f"{header};G [uS]\n{rows}\n"), SCALE, Layout())
    assert one.seconds[-1] == pytest.approx(9 * factor)
    with pytest.raises(ConfigError, match="times must be in s"):
        read_retention(save(tmp_path / "ret.csv", f"time [fortnights];G [uS]\n{rows}\n"), SCALE, Layout())


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,G [uS]\n1,2\n2,3\n", "one column of times"), ("time [s],G [uS]\n1,2\n2,3\n", "at least 8 readings")],
)
def test_what_cannot_be_used_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_retention(save(tmp_path / "ret.csv", content), SCALE, Layout(given=Given()))


def test_the_device_file_tells_what_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "pulses.csv", table(response(2)))
    save(tmp_path / "ret.csv", text(made(lifetime=2e4, reset=-0.4), "devices as columns"))
    main(["pulses.csv", "--model", "soft_bounds", "--range", "1e-5", "6e-5", "--retention", "ret.csv"])
    keys = read("multirun/devices/pulses/device.yaml")
    assert keys["lifetime"] == pytest.approx(2e4, rel=0.1) and keys["drift_nu"] == 0.0
