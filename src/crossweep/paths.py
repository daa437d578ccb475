"""Where things lie: the configuration (checkout or wheel) and what runs write (always below ``multirun/``)."""

import os
from importlib.metadata import version
from pathlib import Path

from crossweep.errors import ConfigError


def conf_dir() -> Path:
    """Folder of the yaml groups: inside the installed wheel, else at the top of the checkout.

    Raises:
        ConfigError: neither exists (a broken installation).
    """
    here = Path(__file__).resolve()
    packaged, checkout = here.parent / "conf", here.parents[2] / "conf"
    for candidate in (packaged, checkout):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise ConfigError(
        f"no configuration found: neither {packaged} nor {checkout} holds train.yaml; reinstall"
    )


def multirun_dir() -> Path:
    """Folder below which every run writes, relative to the current directory or ``$CROSSWEEP_MULTIRUN``.

    Raises:
        ConfigError: its name holds ``${``.
    """
    return usable(Path(os.environ.get("CROSSWEEP_MULTIRUN", "multirun")).resolve())


def usable(folder: Path) -> Path:
    """A folder that runs may write to, as it was given.

    Raises:
        ConfigError: its name holds ``${``: Hydra puts it into the configuration, where that begins an interpolation.
    """
    if "${" in str(folder):
        raise ConfigError(
            f"folder: its name must not hold '${{', got {folder}; rename it, or set CROSSWEEP_MULTIRUN"
        )
    return folder


def cache_dir() -> Path:
    """Shared artefacts: pretrained weights and digital baselines."""
    return multirun_dir() / "cache"


def version_base() -> dict[str, str]:
    """The ``version_base`` keyword of Hydra's entry functions: 1.3 wants it, 1.4 warns of it, 1.5 has none."""
    major, minor = version("hydra-core").split(".")[:2]
    return {"version_base": "1.3"} if (int(major), int(minor)) < (1, 4) else {}
