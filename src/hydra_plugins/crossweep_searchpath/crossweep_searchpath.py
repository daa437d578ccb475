"""Appends crossweep's ``conf`` folder to the search path, behind the program's own."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from crossweep.errors import ConfigError
from crossweep.paths import conf_dir


class CrossweepSearchPath(SearchPathPlugin):
    """``device=reram_sb`` in any Hydra program that has crossweep installed."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra for every program, also for those that have nothing to do with crossweep."""
        try:
            search_path.append(provider="crossweep", path=f"file://{conf_dir()}")
        except ConfigError:
            return  # a broken installation must not break other programs
