"""A password reaches the storage and nothing that is written or printed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossweep.errors import ConfigError, StudyError, masked
from crossweep.records import read_json, write_json
from tests.sweep.conftest import Sweep, done, finished

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"postgresql+psycopg://me:{SECRET}@host:5/db", "postgresql+psycopg://me:***@host:5/db"),
        (f"a://:{SECRET}@h b://u:{SECRET}/{SECRET}@h", "a://:***@h b://u:***@h"),
        (f"postgresql:///db?user=me&password={SECRET}&x=1", "postgresql:///db?user=me&password=***&x=1"),
        ("postgresql://me:${oc.env:PW}@host/db", "postgresql://me:${oc.env:PW}@host/db"),
        ("http://localhost:80/page see me@there", "http://localhost:80/page see me@there"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_passwords_in_addresses_are_masked(text: str, clean: str, tmp_path: Path) -> None:
    assert masked(text) == clean
    assert str(StudyError(text)) == clean
    assert read_json(write_json(tmp_path / "a.json", {"a": [{"b": text}]})) == {"a": [{"b": clean}]}


def files_with_secret(folder: Path) -> list[str]:
    """Every file below ``folder`` that holds the secret; the database itself is what the secret names."""
    paths = [path for path in folder.rglob("*") if path.is_file() and SECRET not in path.name]
    assert paths
    return [str(path) for path in paths if SECRET.encode() in path.read_bytes()]


STORAGES = (
    "study.storage={name: rdb, url: 'sqlite:///${oc.env:PLACE}'}",
    "study.storage={name: ${oc.env:KIND}, path: '${oc.env:PLACE}'}",
)


@pytest.mark.few(1)
@pytest.mark.parametrize("storage", STORAGES)
def test_a_secret_of_the_environment_is_in_no_file_and_no_line(
    storage: str,
    sweep: Sweep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path / f"{SECRET}.db"))
    monkeypatch.setenv("KIND", "sqlite")
    folder = sweep("study.n_trials=3", "chaos.crash=0.3", f"+{storage}")
    sweep("study.n_trials=4", "chaos.crash=0.3", f"+{storage}", "+study.retry_failed=true")
    assert (tmp_path / f"{SECRET}.db").exists()
    assert len(finished(folder)) == 4
    assert not files_with_secret(tmp_path)
    assert SECRET not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [(), pytest.param(("hydra/launcher=submitit_local",), marks=pytest.mark.slow)]
)
def test_workers_in_processes_of_their_own_are_told_no_secret(
    launcher: tuple[str, ...], tmp_path: Path, command: Callable[..., Any]
) -> None:
    """A pool's, and those of a launcher that pickles what it sends."""
    options = ("study.n_trials=2", "study.workers=2", f"+{STORAGES[0]}", *launcher)
    assert SECRET not in done(command(*options, PLACE=str(tmp_path / f"{SECRET}.db")))
    assert len(finished(tmp_path / "multirun" / "map")) == 2
    assert not files_with_secret(tmp_path)


def test_the_training_program_and_its_report_keep_it_too(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its records hold configuration and overrides, and its report shows both."""
    from crossweep.train import main

    monkeypatch.setenv("PLACE", str(tmp_path / f"{SECRET}.db"))
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    one = (
        "study.n_trials=1",
        "study.seeds=1",
        "study.workers=1",
        'study.params={algorithm: "choice(analog_sgd)"}',
    )
    small = ("task.samples=200", "task.checkpoints=2", "task.size=4")
    base = ("-m", "study=weight_programming", "study.progress=none")
    sweep(*one, *small, STORAGES[0], base=base, program=main)
    assert (tmp_path / "multirun" / "weight_programming" / "report.html").exists()
    assert (tmp_path / f"{SECRET}.db").exists()
    assert not files_with_secret(tmp_path)
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "override",
    [
        f"+study.storage={{name: rdb, url: 'postgresql://me:{SECRET}@localhost:1/db'}}",
        f"+study.storage={{name: grpc, inner: {{name: rdb, url: 'postgresql:///db?password={SECRET}'}}}}",
        f"+hydra.sweeper.storage={{name: rdb, url: 'postgresql://me:{SECRET}@localhost:1/db'}}",
    ],
)
def test_a_password_typed_plainly_is_refused_before_anything_is_written(
    override: str, sweep: Sweep, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"environment variable") as caught:
        sweep(override)
    assert SECRET not in str(caught.value)
    assert not list(tmp_path.rglob("*"))
