# mypy: disable-error-code=import-not-found
"""The same update in aihwkit, with its own presets, in the same process: only where it is installed."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from crossweep.bench.updates import LR, Case, sgd_rate


def available() -> bool:
    """Whether aihwkit is installed."""
    return find_spec("aihwkit") is not None


def version() -> str:
    """Its version."""
    from importlib.metadata import version as installed

    return installed("aihwkit")


def _config(case: Case) -> Any:
    from aihwkit.simulator.configs import SingleRPUConfig
    from aihwkit.simulator.configs.devices import ConstantStepDevice
    from aihwkit.simulator.presets import configs, devices

    if case.rule == "analog_sgd":
        device = ConstantStepDevice() if case.device == "constant_step" else devices.ReRamSBPresetDevice()
        config = SingleRPUConfig(device=device)
    else:
        config = {"cttv2": configs.ChoppedTTv2ReRamSBPreset, "agad": configs.AGADReRamSBPreset}[case.rule]()
    config.update.desired_bl = case.bl
    config.mapping.weight_scaling_omega = 0.0
    config.mapping.max_input_size = config.mapping.max_output_size = 0
    return config


def updater(case: Case) -> Callable[[], None]:
    """A call that makes one update of ``case``; levels do not exist there."""
    from aihwkit.simulator.tiles import AnalogTile

    tile = AnalogTile(case.d, case.x, _config(case))
    tile.set_learning_rate(sgd_rate(case) if case.rule == "analog_sgd" else LR)
    x, d = case.data()
    return lambda: tile.update(x, d)


def counted_pulses(case: Case) -> float:
    """Mean pulses per device of one plain update with the case's data, from the change of an ideal device.

    All values are made positive, so that every pulse moves its device by the same step in the same direction.
    """
    import torch
    from aihwkit.simulator.configs import SingleRPUConfig
    from aihwkit.simulator.configs.devices import ConstantStepDevice
    from aihwkit.simulator.tiles import AnalogTile

    step, spread = 1e-5, ("dw_min_dtod", "dw_min_std", "up_down_dtod", "w_max_dtod", "w_min_dtod")
    device = ConstantStepDevice(dw_min=step, w_max=10.0, w_min=-10.0, **dict.fromkeys(spread, 0.0))
    config = SingleRPUConfig(device=device)
    config.update.desired_bl = case.bl
    config.mapping.weight_scaling_omega = 0.0
    config.mapping.max_input_size = config.mapping.max_output_size = 0
    tile = AnalogTile(case.d, case.x, config)
    tile.set_weights(torch.zeros(case.d, case.x))
    x, d = (t.abs() for t in case.data())
    tile.set_learning_rate(case.bl * step / float((x.amax(-1) * d.amax(-1)).mean()))
    tile.update(x, d)
    moved = tile.get_weights()[0]
    return -float(moved.mean()) / step
