"""A device as `crossweep-fit-device` wrote it: a yaml file beside the user's measurement."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from crossweep.errors import ConfigError
from crossweep.trust import recipe


def read(file: str) -> dict[str, Any]:
    """The keys of a fitted device.

    Args:
        file: path of the yaml, relative to the current directory.

    Raises:
        ConfigError: there is no such file, or it is not a fitted device.
    """
    path = Path(file)
    if not path.is_file():
        raise ConfigError(
            f"device.file: must be a yaml written by crossweep-fit-device, got {file!r} (no such file)"
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"device.file: {file!r} is not yaml ({type(error).__name__})") from error
    if not isinstance(content, dict) or not isinstance(content.get("_target_"), str):
        raise ConfigError(
            f"device.file: {file!r} is no fitted device, it lacks `_target_`; see crossweep-fit-device"
        )
    for key, value in content.items():
        if not _is_plain(key) or not _is_plain(value, lists=2):
            raise ConfigError(
                f"device.file: {file!r} must hold numbers, texts and lists of them, and no `${{`; see {key!r}"
            )
    return {str(key): value for key, value in content.items()}


ABOUT = ("name", "source", "source_digest", "siemens_zero", "siemens_per_w")  # what no device model knows


def _is_plain(value: Any, lists: int = 0) -> bool:
    """A value that means itself, or lists of such, ``lists`` deep: a nested node could name a class, an interpolation could
    read the environment."""
    if isinstance(value, list) and lists:
        return all(_is_plain(item, lists - 1) for item in value)
    return (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and "${" not in value)
    )


def node(fitted: Mapping[str, Any], file: str = "device.yaml") -> dict[str, Any]:
    """What ``device=measured`` makes of the keys of a file."""
    return {"_target_": f"{__name__}.{measured.__name__}", "file": file, "fitted": fitted}


@recipe("device")
def measured(*, file: str, fitted: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The fitted device with some keys changed.

    Args:
        file: where ``fitted`` was read from; kept for the record.
        fitted: the keys of the file, ``_target_`` included; those in ``ABOUT`` tell where it comes from.
        changes: keys of the device that replace those of the file; None keeps the fitted value.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    return {key: value for key, value in {**fitted, **given}.items() if key not in ABOUT}
