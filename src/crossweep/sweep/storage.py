"""Where the study's state lives: ``journal`` (default), ``sqlite``, ``rdb``, ``grpc``, ``memory``.

The trial folders are the source of truth; the storage holds what samplers need and can be rebuilt from them.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from crossweep.errors import ConfigError, CrossweepError, StudyError, file_error
from crossweep.study_folder import DATABASE, JOURNAL
from crossweep.sweep.plugins import call, choose, split

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DRIVERS = (
    "sqlalchemy",
    "sqlite3",
    "psycopg",
    "psycopg2",
    "pymysql",
    "grpc",
)  # their errors are the storage's


def journal(directory: Path, path: str | None = None, lock: str = "kernel") -> "BaseStorage":
    """A log file in the study folder; several processes and hosts may share it.

    Args:
        directory: the study folder.
        path: another place for the file.
        lock: ``kernel`` (flock) or ``symlink`` for file systems without it (NFS before version 4).
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileSymlinkLock

    from crossweep.sweep.journal import HealingLock, Journal

    if lock not in ("kernel", "symlink"):
        raise ConfigError(f"study.storage.lock: kernel or symlink, got {lock!r}")
    file = Path(path) if path else directory / JOURNAL
    file.parent.mkdir(parents=True, exist_ok=True)
    # Optuna asks of a lock no more than acquire and release
    guard: Any = HealingLock(file) if lock == "kernel" else JournalFileSymlinkLock(str(file))
    return JournalStorage(Journal(file, guard))


def sqlite(directory: Path, path: str | None = None, timeout: float = 120.0) -> "BaseStorage":
    """A database file in the study folder; slow with more than a few workers."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DatabaseError

    file = Path(path) if path else directory / DATABASE
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": timeout}})
    except DatabaseError as error:
        if (
            type(error) is not DatabaseError
        ):  # its subclasses say that the database is busy, full or read-only
            raise
        raise StudyError(
            f"{file}: damaged ({error.orig!s}); delete it, it is rebuilt from the trial folders"
        ) from error


def rdb(
    directory: Path,
    url: str | None = None,
    engine_kwargs: dict[str, Any] | None = None,
    patience: float = 300.0,
) -> "BaseStorage":
    """A database server, for example ``postgresql+psycopg://user@host/name`` (extra ``postgresql``).

    Args:
        directory: the study folder.
        url: as SQLAlchemy writes it; ``${oc.env:NAME}`` keeps a password out of the command line.
        engine_kwargs: handed to ``sqlalchemy.create_engine``.
        patience: how long a study waits for a server that is away, being restarted for example [s].
    """
    from crossweep.sweep.database import PatientStorage

    del directory
    if not url:
        raise ConfigError(
            "study.storage.url: the rdb storage needs one, for example postgresql+psycopg://user@host/name"
        )
    # a database server may drop idle connections during a long trial
    return PatientStorage(url, {"pool_pre_ping": True, **(engine_kwargs or {})}, patience=float(patience))


def grpc(
    directory: Path,
    host: str | None = None,
    port: int | None = None,
    inner: Any = "journal",
    bind: str = "localhost",
) -> "BaseStorage":
    """A server process in front of another storage: the one to use for very many workers.

    Args:
        directory: the study folder.
        host, port: a running server. Without ``host`` the sweep starts one and hands its address to the
            workers.
        inner: the storage behind the server that the sweep starts.
        bind: interface of that server; ``0.0.0.0`` lets other hosts in (it asks for no password).
    """
    from optuna.storages import GrpcStorageProxy

    del directory, inner, bind
    if not host or not port:
        raise ConfigError(
            "study.storage: grpc needs host and port of a running server, or neither to start one"
        )
    proxy = GrpcStorageProxy(host=host, port=int(port))
    proxy.wait_server_ready(timeout=60)
    return proxy


def memory(directory: Path) -> "BaseStorage":
    """Nothing but the trial folders on disk; one worker, in this process."""
    from optuna.storages import InMemoryStorage

    del directory
    return InMemoryStorage()


KNOWN: dict[str, Callable[..., "BaseStorage"]] = {
    "journal": journal,
    "sqlite": sqlite,
    "rdb": rdb,
    "grpc": grpc,
    "memory": memory,
}


def open_storage(spec: Any, directory: Path) -> "BaseStorage":
    """The storage of a study; one that is open already is itself.

    Raises:
        ConfigError: no such storage or option.
        StudyError: it cannot be reached.
    """
    from optuna.storages import BaseStorage

    if isinstance(spec, BaseStorage):
        return spec
    part, options = choose(resolved(spec), "storage", KNOWN)
    options = {key: value for key, value in options.items() if value is not None}
    if part in KNOWN.values():
        options["directory"] = directory
    try:
        return cast("BaseStorage", call(part, options, "storage"))
    except CrossweepError:
        raise
    except Exception as error:
        raise trouble(error) or file_error(error) or unknown(error) from error


def trouble(error: BaseException | None) -> StudyError | None:
    """What a storage's driver complains about, in one line; None if no driver complains."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in DRIVERS:
            return unknown(error)
        error = error.__cause__
    return None


def unknown(error: BaseException) -> StudyError:
    """The first line of any error; the description of the storage is not repeated, it may hold a password."""
    lines = str(error).strip().splitlines() or [""]
    return StudyError(f"study.storage: cannot use it, {type(error).__name__}: {lines[0]}")


def lies_in_folder(spec: Any) -> bool:
    """Whether a storage is part of the study folder, so that it cannot hold another folder's study."""
    name, options = split(resolved(spec), "storage")
    if name == "grpc":
        return not options.get("host") and lies_in_folder(options.get("inner") or "journal")
    return name in ("journal", "sqlite", "memory") and not options.get("path")


def resolved(spec: Any) -> Any:
    """A storage's description with its interpolations put in: only for opening it, because it may hold a password."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(spec, resolve=True) if OmegaConf.is_config(spec) else spec


def serve(spec: Any, directory: Path) -> Any:
    """Start the server of a ``grpc`` storage that names no host; returns the spec that workers connect with.

    One in memory is returned itself: controller and worker share one process.

    Raises:
        StudyError: the server does not come up.
    """
    name, options = split(resolved(spec), "storage")
    if name == "memory":
        return open_storage(spec, directory)
    if name != "grpc" or options.get("host"):
        return spec
    from optuna.storages import run_grpc_proxy_server

    inner = open_storage(options.get("inner") or "journal", directory)
    port, bind = int(options.get("port") or _free_port()), str(options.get("bind") or "localhost")
    kwargs = {"storage": inner, "host": bind, "port": port}
    threading.Thread(target=run_grpc_proxy_server, kwargs=kwargs, daemon=True).start()
    host = socket.gethostname() if bind in ("0.0.0.0", "[::]") else bind
    if not _answers(host, port):
        raise StudyError(f"study.storage: the gRPC server does not answer on {host}:{port}")
    return {"name": "grpc", "host": host, "port": port}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _answers(host: str, port: int, patience: float = 10.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False
