"""Registers the resolver ``crossweep.conf_dir``.

A search path that a plugin appends is in force in every Hydra program of the environment: a group named
``noise`` would break another program's ``noise=0.1``. So a program asks for our groups itself, in its
primary configuration:

    hydra:
      searchpath: ["file://${crossweep.conf_dir:}"]
"""

from crossweep.paths import conf_dir
from crossweep.sweep.resolvers import register


def _register() -> None:
    register("crossweep.conf_dir", lambda: str(conf_dir()))


_register()
