"""The file of a fitted device, and whether training can use what it says."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from crossweep.devices.measured import node
from crossweep.errors import ConfigError
from crossweep.fitting.scale import Scale
from crossweep.nodes import make
from crossweep.records import write_bytes

_COMMENTS = {
    "dw_min": "[w]",
    "dw_min_std": "[its step]",
    "write_noise_std": "[dw_min]; what readings scatter beyond the pulses",
    "dw_min_dtod": "[dw_min]",
    "w_max": "[w]",
    "w_min": "[w]",
    "w_max_dtod": "[w_max]",
    "w_min_dtod": "[w_min]",
    "drift_nu": "[1]; since the last pulse, a mini-batch counts as 1 s",
    "lifetime": "[mini-batch of 1 s]; 0: no decay",
    "diffusion": "[w per square root of a mini-batch of 1 s]",
    "siemens_zero": "conductance of weight 0 [S]",
    "siemens_per_w": "conductance of one unit of weight [S]",
}


def write_keys(
    path: Path, name: str, source: Path, scale: Scale, keys: Mapping[str, object], lines: Sequence[str]
) -> Path:
    """A device file: comments, where it comes from, and the device's keys.

    Raises:
        ConfigError: training could not use the device; nothing is written.
    """
    if (why := unusable(keys)) is not None:
        raise ConfigError(f"{source}: no device is written; {why}")
    about = {"name": name, "source": source.name, "source_digest": digest(source)}
    about |= {"siemens_zero": scale.centre, "siemens_per_w": scale.half}  # type: ignore[dict-item]
    text = list(lines)
    for key, value in (about | dict(keys)).items():
        comment = f"  # {_COMMENTS[key]}" if key in _COMMENTS else ""
        text.append(f"{key}: {_yaml(value)}{comment}")
    return write_bytes(path, ("\n".join(text) + "\n").encode())


def unusable(keys: Mapping[str, object]) -> str | None:
    """Why training would refuse a device: the rule of its class that the numbers break as the file will hold them."""
    content: dict[str, Any] = yaml.safe_load(
        "\n".join(f"{key}: {_yaml(value)}" for key, value in keys.items())
    )
    try:
        make(node(content), "device")
    except ConfigError as error:
        return f"its device breaks a rule: {str(error).removeprefix('device.')}"
    return None


def digest(source: Path) -> str:
    """Tells whether a device was fitted to this file."""
    return hashlib.sha256(source.read_bytes()).hexdigest()[:16]


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(v) for v in value) + "]"
    if isinstance(value, float):
        text = f"{value:.6g}"
        if "e" in text and "." not in text:
            return text.replace("e", ".0e")  # yaml takes 1e-06 for a text
        return text if "." in text or "e" in text else f"{text}.0"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
