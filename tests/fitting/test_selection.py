"""What is offered: never a model that failed, that points the wrong way or that explains nothing; and it is said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crossweep.errors import ConfigError
from crossweep.fitting import selection
from crossweep.fitting.candidates import Candidate, choose
from crossweep.fitting.fit import DeviceFit, fit
from crossweep.fitting.readings import Readings
from crossweep.fitting.scale import Scale
from crossweep.fitting.selection import Measurement, fit_all
from crossweep.fitting.trains import Trains

SCALE = Scale(0.0, 1.0)


def trains(drop: float = 0.0, *, cycles: int = 4, length: int = 40, seed: int = 0) -> Trains:
    """Soft bounds; before each down train the state falls by ``drop`` without a pulse that says so."""
    rng, v, pulses, w = np.random.default_rng(seed), -0.7, [0], [-0.7]
    for _ in range(cycles):
        for sign in (1, -1):
            v -= drop if sign < 0 else 0.0
            for _ in range(length):
                v += sign * 0.04 * (1 - sign * v) * (1 + 0.2 * rng.standard_normal())
                pulses.append(sign)
                w.append(v)
    noisy = np.array(w) + 0.003 * rng.standard_normal(len(w))
    return Trains("D", np.array(pulses), noisy, np.arange(len(w)) == 0)


def fitted(one: Trains, *models: str) -> Measurement:
    return fit_all(Path("made"), [one], SCALE, choose(models))


def test_a_candidate_that_fails_never_ends_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(candidate: Candidate, readings: Readings) -> DeviceFit:
        if candidate.name == "constant_step":
            raise np.linalg.LinAlgError("no curvature")
        return fit(candidate, readings)

    monkeypatch.setattr(selection, "fit", breaks)
    found = fitted(trains(), "constant_step", "soft_bounds")
    assert found.best.candidate.name == "soft_bounds"
    assert found.objections["constant_step (additive noise)"] == "no curvature"


def test_if_the_best_must_not_be_offered_the_next_is_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fitted(trains(), "soft_bounds", "constant_step")
    first = plain.models[0].candidate

    def objects(model: selection.ModelFit) -> str | None:
        return "its step is unknown" if model.candidate == first else None

    monkeypatch.setattr(selection, "_objection", objects)
    found = fitted(trains(), "soft_bounds", "constant_step")
    assert found.best is found.models[1] and found.models[0].candidate == first
    assert any(first.label in note and "its step is unknown" in note for note in found.notes)
    with pytest.raises(ConfigError, match=r"no model can be offered.*its step is unknown"):
        monkeypatch.setattr(selection, "_objection", lambda model: "its step is unknown")
        fitted(trains(), "soft_bounds")


def test_a_drop_before_a_train_is_no_pulse() -> None:
    found = fitted(trains(drop=0.3), "soft_bounds")
    assert any("4 trains" in note for note in found.notes)
    (one,) = found.best.fits
    assert one.values["cycle_noise"] < 0.3 and one.step(0.0, up=False) == pytest.approx(0.04, rel=0.1)
    assert not any("trains" in note for note in fitted(trains(), "soft_bounds").notes)


@pytest.mark.slow
def test_a_model_that_explains_nothing_is_not_offered() -> None:
    rng, one = np.random.default_rng(0), trains()
    for noise in (rng.choice([-1.0, 1.0], one.pulses.size), rng.standard_normal(one.pulses.size)):
        with pytest.raises(ConfigError, match="no model can be offered"):
            fitted(Trains("D", one.pulses, noise, one.fresh), "soft_bounds", "constant_step", "linear_step")


@pytest.mark.slow
def test_long_smooth_trains_are_fitted() -> None:
    found = fitted(trains(cycles=1, length=200), "soft_bounds", "constant_step", "linear_step")
    assert found.best.fits[0].step(0.0, up=True) == pytest.approx(0.04, rel=0.15)


def test_of_models_that_the_data_cannot_tell_apart_the_simplest_is_offered() -> None:
    def model(label: str, bic: float, parameters: int) -> Any:
        return SimpleNamespace(bic=bic, candidate=SimpleNamespace(label=label, parameters=range(parameters)))

    told = (("rich", 10.0, 8), ("plain", 11.8, 6), ("less plain", 11.9, 7), ("plainest", 12.1, 4))
    models = tuple(model(*one) for one in told)
    assert Measurement(Path("made"), SCALE, models, {}).best is models[1]
    assert Measurement(Path("made"), SCALE, models, {"rich": "its step is unknown"}).best is models[3]


def test_a_richer_model_pays_for_its_parameters() -> None:
    """Linear steps contain constant ones, so they fit no worse: what they gain is set against log n for each (Schwarz)."""
    rng, signs = np.random.default_rng(0), np.tile(np.repeat([1, -1], 40), 4)
    moved = np.cumsum(0.02 * signs * (1 + 0.2 * rng.standard_normal(signs.size))) - 0.4
    noisy = np.concatenate(([-0.4], moved)) + 0.003 * rng.standard_normal(signs.size + 1)
    one = Trains("D", np.concatenate(([0], signs)), noisy, np.arange(noisy.size) == 0)
    found = {m.candidate.label: m.fits[0] for m in fitted(one, "constant_step", "linear_step").models}
    simple, rich = (found[f"{name} (additive noise)"] for name in ("constant_step", "linear_step"))
    more = rich.free - simple.free
    assert more > 0 and rich.loss < simple.loss + 0.01
    gain = 2 * (simple.loss - rich.loss)
    assert rich.bic - simple.bic == pytest.approx(more * np.log(noisy.size) - gain, abs=0.02 * more)
