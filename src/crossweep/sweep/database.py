"""A database server that may be away for a while: killed and restarted, or behind a network that hiccups."""

import functools
import logging
import threading
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

log = logging.getLogger(__name__)
PAUSE = 1.0  # between two tries [s]


class PatientStorage(RDBStorage):
    """Optuna's database storage, whose every request is made again while the server cannot be reached.

    A request whose answer was lost may have been carried out. A trial created twice has no lease and is settled like
    that of a dead worker; a trial told twice was told.

    Args:
        url: as SQLAlchemy writes it.
        engine_kwargs: handed to ``sqlalchemy.create_engine``.
        patience: how long to wait for the server [s].
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any], *, patience: float) -> None:
        self._patience, self._waiting = patience, threading.local()
        super().__init__(url, engine_kwargs=engine_kwargs)

    def _again(self, request: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if getattr(self._waiting, "inside", False):  # one request makes others; the outermost one is patient
            return request(self, *args, **kwargs)
        self._waiting.inside = True
        deadline, tries = time.monotonic() + self._patience, 0
        try:
            while True:
                try:
                    return request(self, *args, **kwargs)
                except UpdateFinishedTrialError:
                    if tries and request.__name__ == "set_trial_state_values":
                        return True
                    raise
                except Exception as error:
                    if not _unreachable(error) or time.monotonic() > deadline:
                        raise
                    if not tries:
                        log.warning("the database does not answer (%s); waiting for it", type(error).__name__)
                    tries += 1
                    time.sleep(PAUSE)
        finally:
            self._waiting.inside = False


def _unreachable(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        error = error.__cause__
    return False


def _patient(request: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(request)
    def asked(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._again(request, *args, **kwargs)

    return asked


for _name, _request in vars(RDBStorage).items():
    if isinstance(_request, FunctionType) and not _name.startswith("__"):
        setattr(PatientStorage, _name, _patient(_request))
