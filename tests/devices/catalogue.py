"""Every device option of the configuration, composed as the entry points compose it."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from crossweep.devices.base import AbstractDevice
from crossweep.nodes import make
from crossweep.paths import version_base

CONF = Path(__file__).resolve().parents[2] / "conf"
NEEDS_A_FILE = {"measured"}  # fitted from a user's measurement, see tests of the fit
NAMES = sorted(
    p.stem for p in (CONF / "device").glob("*.yaml") if p.stem[0] != "_" and p.stem not in NEEDS_A_FILE
)
SPREADS = ("dw_min_dtod", "up_down_dtod", "w_max_dtod", "w_min_dtod")
_MEASURED = ("up", "down", "up_std", "down_std", "top", "bottom")  # by device
_OWN_SPREADS = ("gamma_up_dtod", "gamma_down_dtod", "pow_gamma_dtod", "pow_up_down_dtod", "reset_dtod")


@cache
def settings(name: str) -> dict[str, Any]:
    """The composed keys of one option."""
    with initialize_config_dir(str(CONF), **version_base()):
        config = compose(overrides=[f"+device={name}"])
    content = OmegaConf.to_container(config.device)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def load(name: str, **changes: Any) -> AbstractDevice:
    """The device of one option with some keys changed."""
    device = make(settings(name) | changes, "device")
    assert isinstance(device, AbstractDevice)
    return device


def alike(name: str, **changes: Any) -> AbstractDevice:
    """The mean device of one option: no device-to-device spread."""
    keys = settings(name)
    spreads: dict[str, Any] = {key: 0.0 for key in (*SPREADS, *_OWN_SPREADS) if key in keys}
    spreads |= {key: keys[key][:1] for key in _MEASURED if keys.get(key)}
    return load(name, **(spreads | changes))
