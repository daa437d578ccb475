"""Schedules and the rules of training settings."""

import pytest

from crossweep.bench.basic import basic
from crossweep.errors import ConfigError
from crossweep.training.fit_settings import FitSettings, OptimizerSettings, RateSchedule


def test_cosine_goes_from_one_to_final_after_warmup() -> None:
    schedule = basic(RateSchedule, name="cosine", warmup_epochs=2, final=0.1)
    assert schedule.at(0, 10) == 0 and schedule.at(1, 10) == 0.5
    assert schedule.at(2, 10) == pytest.approx(1) and schedule.at(6, 10) == pytest.approx(0.55)
    assert schedule.at(10, 10) == pytest.approx(0.1)


def test_step_and_constant() -> None:
    step = basic(RateSchedule, name="step", every=3, factor=0.5)
    assert [step.at(e, 9) for e in (0, 2.9, 3, 6)] == [1, 1, 0.5, 0.25]
    assert basic(RateSchedule, name="constant").at(7.5, 9) == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: basic(OptimizerSettings, name="lion"), "^name: must be"),  # type: ignore[arg-type]
        (lambda: basic(OptimizerSettings, lr=-1.0), "^lr: must be"),
        (lambda: basic(OptimizerSettings, momentum=1.0), "^momentum: must be"),
        (lambda: basic(RateSchedule, name="poly"), "^name: must be"),  # type: ignore[arg-type]
        (lambda: basic(RateSchedule, every=0), "^every: must be"),
        (lambda: _fit(epochs=-1), "^epochs: must be"),
        (lambda: _fit(batch_size=0), "^batch_size: must be"),
        (lambda: _fit(analog_lr=-0.1), "^analog_lr: must be"),
        (lambda: _fit(label_smoothing=1.0), "^label_smoothing: must be"),
        (lambda: _fit(digital_parameters=("norms",)), "^digital_parameters: must be"),
    ],
)
def test_bad_settings_name_the_key(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        build()


def _fit(**changes: object) -> FitSettings:
    values = {
        "epochs": 1,
        "batch_size": 8,
        "optimizer": basic(OptimizerSettings),
        "schedule": basic(RateSchedule),
        "augment": True,
        "label_smoothing": 0.0,
    } | changes
    return FitSettings(**values)  # type: ignore[arg-type]
