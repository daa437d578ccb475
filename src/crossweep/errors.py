"""The exceptions of crossweep: each message states the rule, the values, and where to change them.

And the one place where an entry point turns a mistake, a full disk or a signal into one line and an exit code.
"""

import errno
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

# user:password@ of an address, and the password that some drivers take behind the question mark; an
# interpolation is no secret
_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*:)(?!\$\{)[^\s@]+(?=@)|(?<=[?&])(password=)(?!\$\{)[^\s&'\"]+")

_ELSEWHERE = "choose a folder that can be written (CROSSWEEP_MULTIRUN=FOLDER), or mend its permissions"
_IN_THE_WAY = "something else lies where a file or folder of this name belongs; move it away"
_DISK = {  # what is wrong with a disk rather than with whoever uses it
    errno.ENOSPC: "free some space; the same command goes on",
    errno.EDQUOT: "free some of your quota; the same command goes on",
    errno.EIO: "the disk or file server fails; when it is back, the same command goes on",
    errno.ESTALE: "the file server was restarted; the same command goes on",
    errno.EROFS: _ELSEWHERE,
}
_PLACE = {
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
}
_USER = {
    errno.ENAMETOOLONG: "choose shorter names",
    errno.ENOENT: "check the name, or put the file back",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class CrossweepError(Exception):
    """Base of every error a user can cause; the entry points print it as one line and exit with code 2."""

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigError(CrossweepError):
    """A setting, a file or a combination of settings breaks a rule."""


class FieldError(ConfigError):
    """A field of a dataclass of parameters breaks a rule; who knows the key that was typed puts it in front.

    Args:
        name: the field; several as ``first, .second``.
        rule: the rule, and the value that breaks it.
    """

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name}: {rule}")


class ShapeError(CrossweepError):
    """A tensor has the wrong shape for the tile, device or layer it was handed to."""


class DivergedError(CrossweepError):
    """Training produced a non-finite loss; a result (chance accuracy), not a crash."""


class StudyError(CrossweepError):
    """A study cannot start, go on or be collected."""


class FileError(CrossweepError):
    """The operating system refuses a file or folder: full, read-only, not permitted, in the way."""


def masked(text: str) -> str:
    """``text`` with the password of every address in it replaced by ``***``."""
    if "://" not in text:
        return text
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def file_error(error: BaseException | None, below: str | os.PathLike[str] | None = None) -> FileError | None:
    """The fault of a file or disk behind an error, as one line with path, reason and remedy; None if there is none.

    Args:
        error: an error; its causes are looked at too, because libraries wrap what the system says.
        below: a folder, of a study whose jobs make mistakes of their own: a path that may not be used is a fault of
            the place only there, a missing file is none, a full disk always is one.
    """
    while error is not None:
        if isinstance(error, FileError):
            return error
        if isinstance(error, OSError) and error.errno is not None:
            path = (
                os.fspath(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else None
            )
            named = _PLACE if below is not None else _PLACE | _USER
            inside = path is not None and (below is None or os.fsdecode(path).startswith(os.fspath(below)))
            remedy = _DISK.get(error.errno) or (named.get(error.errno) if inside else None)
            if remedy is not None:
                where = "" if path is None else f"{os.fsdecode(path)}: "
                return FileError(f"{where}{os.strerror(error.errno)}; {remedy}")
        error = error.__cause__
    return None


@contextmanager
def reported(program: str, *others: type[Exception]) -> Iterator[None]:
    """The body of an entry point: what a user can mend is one line and exit code 2; signals exit with 128 + number.

    A reader that has gone (``| head``) ends it without a word, as SIGPIPE would.

    Args:
        program: its name, which begins the line.
        others: further exceptions that a user causes.
    """
    mine = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop) if mine else None
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is understood; not when Python ends
    except BrokenPipeError:
        if not _unread(sys.stdout):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt as error:
        print(f"{program}: interrupted; the same command goes on from where it stopped", file=sys.stderr)
        sys.exit(128 + getattr(error, "number", signal.SIGINT))
    except Exception as error:
        problem = error if isinstance(error, (CrossweepError, *others)) else file_error(error)
        if problem is None:
            raise
        print(f"{program}: {one_line(problem)}", file=sys.stderr)
        sys.exit(2)
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)


def _unread(stream: TextIO) -> bool:
    """Whether nobody reads a stream any more, as after ``| head``; a pipe to a process of ours may break as well."""
    pipe = select.poll()
    pipe.register(stream.fileno(), 0)  # an error is told unasked
    return bool(pipe.poll(0))


class Interrupted(KeyboardInterrupt):
    """SIGTERM; not an ``Exception``, so that nothing swallows it."""

    number = signal.SIGTERM


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def one_line(error: BaseException) -> str:
    """The message of an error on one line; of a chain, the innermost message of ours."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, CrossweepError):
        cause = cause.__cause__
    lines = [line.strip() for line in masked(str(cause or error)).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("full_key", "object_type")))
