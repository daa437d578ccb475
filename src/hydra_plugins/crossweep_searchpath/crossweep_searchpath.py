"""Registers the resolver ``crossweep.conf_dir``.

A search path that a plugin appends is in force in every Hydra program of the environment: a group named
``noise`` would break another program's ``noise=0.1``. So a program asks for our groups itself, in its
primary configuration:

    hydra:
      searchpath: ["file://${crossweep.conf_dir:}"]
"""

from omegaconf import OmegaConf

from crossweep.paths import conf_dir


def _register() -> None:
    OmegaConf.register_new_resolver("crossweep.conf_dir", lambda: str(conf_dir()), replace=True)


_register()
