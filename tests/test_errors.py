"""What an entry point makes of mistakes, disks and signals."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crossweep.errors import ConfigError, FileError, file_error, one_line, reported


def failing(error: BaseException) -> None:
    with reported("program", LookupError):
        raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("a.b: must be > 0,\n  got -1"), "program: a.b: must be > 0, got -1"),
        (LookupError("theirs"), "program: theirs"),
        (
            OSError(errno.ENOSPC, "full", "/x/a.json"),
            "program: /x/a.json: No space left on device; free some space; the same command goes on",
        ),
        (
            OSError(errno.ENOSPC, "full"),
            "program: No space left on device; free some space; the same command goes on",
        ),
        (
            PermissionError(errno.EACCES, "no", "/x"),
            "program: /x: Permission denied; choose a folder that can be written (CROSSWEEP_MULTIRUN=FOLDER), "
            "or mend its permissions",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        failing(error)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), OSError("no number"), ConnectionError(errno.ECONNRESET, "")]
)
def test_a_mistake_of_the_program_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing(error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_128_and_its_number(number: int) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, reported("program"):
        os.kill(os.getpid(), number)
        signal.pause()
    assert ended.value.code == 128 + number
    assert signal.getsignal(signal.SIGTERM) == before[1]
    signal.signal(signal.SIGINT, before[0])


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "command",
    [
        "train",
        "report",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("fit_device", "device_card", "gallery", "bench")
        ),
    ],
)
def test_a_reader_that_has_gone_leaves_no_traceback(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", f"crossweep.{command}", "--help"]
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert ended.stderr == "" and ended.returncode in (
        0,
        128 + signal.SIGPIPE,
    )  # argparse says nothing itself


def test_a_pipe_that_breaks_elsewhere_is_no_reader_that_has_gone() -> None:
    with pytest.raises(BrokenPipeError):
        failing(BrokenPipeError(errno.EPIPE, "to a worker"))


def test_a_disk_behind_other_errors_is_found(tmp_path: Path) -> None:
    try:
        try:
            (tmp_path / "a").mkdir()
            (tmp_path / "a").mkdir()
        except OSError as inner:
            raise ValueError("Unable to configure handler") from inner
    except ValueError as error:
        found = file_error(error, below=tmp_path)
        assert isinstance(found, FileError) and one_line(found).startswith(f"{tmp_path / 'a'}: File exists; ")
        assert file_error(error, below=tmp_path / "elsewhere") is None  # the user's own, not the study's
    assert file_error(OSError(errno.ENOSPC, ""), below=tmp_path) is not None
    assert file_error(FileNotFoundError(errno.ENOENT, "", str(tmp_path / "b")), below=tmp_path) is None
    assert file_error(ValueError()) is None and file_error(None) is None


def test_error_text_is_one_line() -> None:
    try:
        try:
            raise ConfigError("device.w_min: must be < 0, got 0")
        except ConfigError as inner:
            raise RuntimeError("many\nlines") from inner
    except RuntimeError as error:
        assert one_line(error) == "device.w_min: must be < 0, got 0"
    assert one_line(ValueError("Key 'a'\n    full_key: a\n    object_type=dict")) == "Key 'a'"
