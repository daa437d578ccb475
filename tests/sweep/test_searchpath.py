"""Other programs get crossweep's groups when they ask, and are left alone when they do not."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from crossweep.paths import version_base

OTHER = "defaults: [_self_]\nnoise: 0.5\n"
ASKING = 'defaults: [_self_]\nhydra: {searchpath: ["file://${crossweep.conf_dir:}"]}\n'


def test_groups_are_there_for_those_who_ask(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(OTHER)
    (tmp_path / "asking.yaml").write_text(ASKING)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path), **version_base()):
        assert compose("asking", overrides=["+device=reram_sb"]).device._target_.startswith("crossweep.")
        # a group of ours named like a value of theirs must not get in the way
        assert compose("other", overrides=["noise=0.1"]).noise == 0.1
