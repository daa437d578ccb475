"""What a fit offers and writes can be trained: every model's parameters against the rules of its device class."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crossweep.devices import measured
from crossweep.devices.base import AbstractDevice
from crossweep.errors import ConfigError
from crossweep.fit_device import main
from crossweep.fitting import responses
from crossweep.fitting.candidates import CANDIDATES, Candidate, choose, limits, unpack
from crossweep.fitting.device_file import unusable, write_keys
from crossweep.fitting.fit import _values
from crossweep.fitting.keys import device_keys
from crossweep.fitting.population import Estimate
from crossweep.fitting.scale import Scale
from crossweep.fitting.selection import fit_all
from crossweep.fitting.trains import Trains
from crossweep.nodes import make
from crossweep.rng import Stream
from tests.fitting.recorded import response, save, table

ENDS = (-0.9, 0.8)
SCALE = Scale(35e-6, 25e-6)


def somewhere(candidate: Candidate, rng: np.random.Generator) -> Any:
    """A model with parameters from anywhere in the box of the search."""
    box = limits(candidate, ENDS, 1e-4)
    values = _values(candidate, rng.uniform(box[:, 0], box[:, 1]))
    if candidate.fixed_bounds:
        values |= {"w_min": ENDS[0], "w_max": ENDS[1]}
    estimates = {name: Estimate(value, value, value, 0.0) for name, value in values.items()}
    return SimpleNamespace(
        candidate=candidate,
        estimates=estimates,
        fits=[SimpleNamespace(values=values)],
        one_way=False,
        error=lambda fit, name: 0.0,
    )


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.label)
def test_what_is_written_is_what_training_takes(candidate: Candidate, tmp_path: Path) -> None:
    rng, source, taken = np.random.default_rng(0), save(tmp_path / "pulses.csv", ""), 0
    for _ in range(60):
        try:
            keys = device_keys(somewhere(candidate, rng))
        except ArithmeticError:
            continue
        file = tmp_path / "device.yaml"
        file.unlink(missing_ok=True)
        if unusable(keys) is not None:
            with pytest.raises(ConfigError, match=r"pulses.csv: no device is written"):
                write_keys(file, "mine", source, SCALE, keys, [])
            assert not file.exists()
            continue
        write_keys(file, "mine", source, SCALE, keys, [])
        built = make(measured.node(measured.read(str(file))), "device")
        assert isinstance(built, AbstractDevice) and 0 < built.granularity < np.inf
        cells = built.draw((1, 4), Stream(0))
        assert all(t.isfinite().all() for t in cells.tensors().values())
        taken += 1
    assert taken


def growing() -> Trains:
    """A step that grows towards the bounds faster than an exponential without an offset does."""
    (model,) = choose(["exp_step"])
    q = unpack(model, np.array([np.log(0.02), np.log(0.02), -0.5, 0.2, -0.5, 0.2, 0, 0, 0, 0]), ENDS)
    rng, v, pulses, w = np.random.default_rng(0), -0.4, [0], [-0.4]
    for k in range(400):
        sign = 1 if k // 40 % 2 == 0 else -1
        v += (
            sign * responses.step(model.code, q.p, -1.0, 1.0, v, sign > 0) * (1 + 0.1 * rng.standard_normal())
        )
        v = min(max(v, -1.0), 1.0)
        pulses.append(sign)
        w.append(v)
    return Trains(
        "D", np.array(pulses), np.array(w) + 1e-3 * rng.standard_normal(len(w)), np.arange(len(w)) == 0
    )


@pytest.mark.slow
def test_a_model_whose_device_would_be_refused_is_not_offered() -> None:
    with pytest.raises(ConfigError, match=r"exp_step.*its device breaks a rule"):
        fit_all(Path("made"), [growing()], Scale(0.0, 1.0), choose(["exp_step"]))
    found = fit_all(Path("made"), [growing()], Scale(0.0, 1.0), choose(["exp_step", "linear_step"]))
    assert found.best.candidate.name == "linear_step"
    assert unusable(device_keys(found.best)) is None


def test_a_decay_within_a_second_or_a_range_beside_the_readings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "pulses.csv", table(response(3)))
    with pytest.raises(SystemExit):
        main(["pulses.csv", "--model", "table", "--range", "1e-6", "5e-6"])
    assert "no device is written; its device breaks a rule: w_min, .w_max" in capsys.readouterr().err
    assert not Path("multirun/devices/pulses").exists()
    soft = {"_target_": "crossweep.devices.soft_bounds.SoftBounds", "lifetime": 1.0 + 1e-9}
    assert "lifetime" in str(unusable(soft)) and unusable(soft | {"lifetime": 20.0}) is None
