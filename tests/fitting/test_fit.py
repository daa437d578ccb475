"""A fit recovers what made the data, says how sure it is, and tells models apart when the data can."""

from typing import Any

import numpy as np
import pytest
import torch

from crossweep.devices import measured, response
from crossweep.devices.base import AbstractDevice
from crossweep.errors import ConfigError
from crossweep.fit_device import fit_device, main
from crossweep.fitting import responses
from crossweep.fitting.candidates import CANDIDATES, Candidate, unpack
from crossweep.fitting.fit import fit
from crossweep.fitting.keys import device_keys
from crossweep.fitting.population import ModelFit
from crossweep.fitting.readings import Readings
from crossweep.fitting.report import write_yaml
from crossweep.fitting.scale import Scale
from crossweep.nodes import make
from crossweep.rng import Stream
from tests import expect
from tests.devices import catalogue
from tests.fitting import matrix
from tests.fitting.synthetic import READING, pulse_trains, write_csv
from tests.some import some

CASES: dict[str, dict[str, Any]] = {
    "constant_step": {"dw_min": 0.02, "up_down": 0.1},
    "soft_bounds": {"dw_min": 0.02, "up_down": 0.1},
    "linear_step": {"dw_min": 0.02, "up_down": 0.1, "gamma_up": 0.6, "gamma_down": 0.4},
    "pow_step": {"dw_min": 0.08, "up_down": -0.1},
    "exp_step": {"dw_min": 0.02, "up_down": 0.1},
    "piecewise_step": {"dw_min": 0.02, "up_down": 0.1},
}


def candidate(name: str, device: AbstractDevice) -> Candidate:
    """The candidate of a model with the device's kind of noise (constant steps know no difference)."""
    found = [c for c in CANDIDATES if c.name == name]
    return next((c for c in found if c.additive != getattr(device, "mult_noise", True)), found[0])


def truth(name: str, device: AbstractDevice) -> dict[str, float]:
    """What a fit should find, from the device itself."""
    law = device.response(device.draw((1, 1), Stream(0)))

    def step(v: float, *, up: bool) -> float:
        return float(response.step(law, torch.full((1, 1), v), up=up))

    found = {"w_max": 1.0, "w_min": -1.0, "cycle_noise": device.dw_min_std, "reading_noise": READING}
    found |= {"step_up": step(0.0, up=True), "step_down": step(0.0, up=False)}
    if name == "linear_step":
        found |= {"gamma_up": device.gamma_up, "gamma_down": device.gamma_down}  # type: ignore[attr-defined]
    if name == "pow_step":
        found |= {"pow_gamma_up": 2.0, "pow_gamma_down": 2.0}
    if name == "exp_step":
        found |= {"fade_up": 1 - step(1.0, up=True) / step(0.0, up=True)}
        found |= {"fade_down": 1 - step(-1.0, up=False) / step(0.0, up=False)}
    return found


@pytest.mark.few(1)
@pytest.mark.parametrize("name", some(CASES, "soft_bounds", "exp_step"))
def test_a_fitted_device_steps_as_the_compiled_response_says(name: str) -> None:
    device = catalogue.alike(name, **CASES[name])
    pulses, w = pulse_trains(device, 1, seed=3)
    one = fit(candidate(name, device), Readings("one", pulses, w[0]))
    q = unpack(one.candidate, one.x, one.readings.ends)
    spreads = dict.fromkeys(("up_down_dtod", "dw_min_dtod", "w_max_dtod", "w_min_dtod"), 0.0)
    keys = device_keys(ModelFit(one.candidate, (one,)))
    built = make(measured.node(keys | {k: 0.0 for k in keys if k.endswith("_dtod")} | spreads), "device")
    law = built.response(built.draw((1, 1), Stream(0)))
    for v in np.linspace(-0.6, 0.6, 13):
        at = torch.full((1, 1), float(v))
        for up in (True, False):
            compiled = responses.step(one.candidate.code, q.p, q.low, q.high, float(v), up)
            assert float(response.step(law, at, up=up)) == pytest.approx(compiled, rel=1e-3, abs=1e-6), (
                v,
                up,
            )


@pytest.mark.parametrize("name", ["soft_bounds", "linear_step", "pow_step"])
def test_a_fit_recovers_the_parameters(name: str) -> None:
    device = catalogue.alike(name, **CASES[name])
    pulses, w = pulse_trains(device, 1, seed=5)
    one = fit(candidate(name, device), Readings("one", pulses, w[0]))
    known = {key: value for key, value in truth(name, device).items() if np.isfinite(one.errors[key])}
    assert known.keys() >= {"step_up", "step_down", "cycle_noise"}
    for key, value in known.items():
        positive = next(q.positive for q in one.candidate.parameters if q.name == key)
        off = np.log(one.values[key] / value) if positive else one.values[key] - value
        assert abs(off) < 4.9 * one.errors[key], key


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in CASES if n != "piecewise_step"])
def test_intervals_cover_the_truth_in_95_of_100(name: str) -> None:
    device = catalogue.alike(name, **CASES[name])
    pulses, w = pulse_trains(device, 200, seed=7)
    fits = [fit(candidate(name, device), Readings(str(i), pulses, row)) for i, row in enumerate(w)]
    for key, value in truth(name, device).items():
        stated = [f.interval(key) for f in fits if np.isfinite(f.errors[key])]
        if len(stated) > 100:  # a bound that few of the devices met is stated by few
            expect.rate(sum(low <= value <= high for low, high in stated), len(stated), 0.95)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("soft_bounds", ("constant_step", "pow_step")),
        pytest.param("constant_step", (), marks=pytest.mark.slow),
    ],
)
def test_the_model_that_made_the_data_is_chosen(name: str, others: tuple[str, ...], tmp_path: Any) -> None:
    device = catalogue.alike(name, **CASES[name])
    path = write_csv(tmp_path / "pulses.csv", *pulse_trains(device, 3, seed=11, pulses=200))
    wanted = [name, *others] if others else ["constant_step", "soft_bounds"]
    measurement = fit_device(path, ends=(4e-6, 16e-6), models=wanted)
    assert measurement.best.candidate.name == name
    assert measurement.models[-1].bic - measurement.best.bic > 20
    assert abs(measurement.best.residual - 1) < 0.1
    for (
        model
    ) in measurement.models:  # Schwarz: every parameter that the data determine costs ln of the readings
        costs = [2 * f.loss + f.free * np.log(np.isfinite(f.residuals).sum()) for f in model.fits]
        assert model.bic == pytest.approx(sum(costs))
    assert measurement.best.fits[0].free == 6  # two steps, two bounds, two noises


def test_from_csv_to_a_device_of_the_configuration(tmp_path: Any) -> None:
    device = catalogue.load("soft_bounds", dw_min=0.02, w_max_dtod=0.1, w_min_dtod=0.1, up_down_dtod=0.05)
    path = write_csv(tmp_path / "pulses.csv", *pulse_trains(device, 6, seed=13), lost=0.05)
    measurement = fit_device(path, ends=(4e-6, 16e-6), models=["soft_bounds"])
    assert len(measurement.best.fits) == 6
    file = write_yaml(measurement, tmp_path / "device.yaml")
    built = make(measured.node(measured.read(str(file))) | {"dw_min": None, "dw_min_std": 0.1}, "device")
    assert isinstance(built, AbstractDevice) and built.dw_min_std == 0.1
    assert built.dw_min == pytest.approx(0.02, rel=0.5)
    assert 0.1 < built.dw_min_dtod < 0.6 and built.w_max_dtod < 0.3
    step = measurement.best.estimates["step_up"]
    assert step.low < 0.02 < step.high


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pulse,polarity,G [uS]\n" + "\n".join(f"{k},1,{k}" for k in range(1, 15)), "20 up pulses"),
        (
            "pulse,polarity,G [uS]\n"
            + "\n".join(
                f"{k},{s},{k if s > 0 else 60 - k}" for s, n in ((1, 60), (-1, 9)) for k in range(1, n)
            ),
            "20 down pulses",
        ),
        (
            "pulse,polarity,G [uS]\n" + "\n".join(f"{k},{s},5" for s in (1, -1) for k in range(1, 40)),
            "never changes",
        ),
        (
            "pulse,polarity,G [uS]\n"
            + "\n".join(f"{k},{s},{(k if s > 0 else 50 - k)}" for s in (1, -1) for k in (*range(40), 10**9)),
            "at most",
        ),
        ("", "table|rows"),
    ],
)
def test_data_that_cannot_be_used_is_refused_in_one_line(content: str, message: str, tmp_path: Any) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        fit_device(path)


def test_data_that_drown_in_noise_are_refused(tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    pulses = np.array([0] + [1] * 40 + [-1] * 40)
    path = write_csv(tmp_path / "noise.csv", pulses, rng.standard_normal((1, pulses.size)))
    with pytest.raises(ConfigError, match=r"cannot determine|too few"):
        fit_device(path, models=["soft_bounds", "constant_step"])


def test_the_command_line_writes_yaml_and_figure(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    device = catalogue.alike("soft_bounds", dw_min=0.02)
    path = write_csv(tmp_path / "mine.csv", *pulse_trains(device, 2, seed=17))
    main([str(path), "--model", "soft_bounds"])
    assert "soft_bounds" in capsys.readouterr().out
    folder = tmp_path / "multirun" / "devices" / "mine"
    assert (folder / "device.yaml").is_file() and (folder / "fit.png").stat().st_size > 10_000
    with pytest.raises(SystemExit):
        main([str(tmp_path / "missing.csv")])
    assert "no such file" in capsys.readouterr().err


def test_an_upward_device_is_fitted_as_one_of_a_pair(tmp_path: Any) -> None:
    device = catalogue.alike("soft_bounds", dw_min=0.02)
    pulses, w = pulse_trains(device, 1, seed=19)
    rising = np.flatnonzero(pulses > 0)
    lines = ["pulse,polarity,G [uS]"] + [
        f"{1 + i % 120},+1,{10 + 6 * w[0, k]:.6f}" for i, k in enumerate(rising)
    ]
    path = tmp_path / "up.csv"
    path.write_text("\n".join(lines))
    measurement = fit_device(path, ends=(4e-6, 16e-6), models=["soft_bounds", "linear_step"])
    keys = device_keys(measurement.best)
    assert (keys["w_min"], keys["n_devices"], keys["update_policy"]) == (0.0, 2, "one_sided")
    built = make(measured.node(keys), "device")
    # 0.02 (1 - v) of half the range up from the middle: 0.02 at the bottom of the whole range
    assert built.dw_min == pytest.approx(0.02, rel=0.1)
    assert measurement.scale.centre == pytest.approx(4e-6)


def test_a_search_does_not_end_beside_a_bound_that_was_never_met() -> None:
    """Without bounds linear steps are those of soft bounds: they explain the readings no worse."""
    _, _, files = matrix.measured(matrix.Case("soft_bounds", 0.01, 2, 1, 5))
    readings = Scale(1e-5, 6e-6).readings(files[2])
    kinds = {c.name: c for c in CANDIDATES if c.additive}
    linear, soft = (fit(kinds[name], readings) for name in ("linear_step", "soft_bounds"))
    assert set(linear.unmet) == {"w_max", "w_min"}
    assert linear.loss < soft.loss + 0.05
