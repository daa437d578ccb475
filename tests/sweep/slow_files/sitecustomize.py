"""A shared folder behind a slow network: on the path of a process, it makes file operations late.

``SLOW_HOST`` names the machine that the process believes to be on, so that nobody else's process numbers mean anything
to it.
"""

import os
import platform
import random
import time
from collections.abc import Callable
from typing import Any

_LATE = 0.2  # longest delay of one operation [s]
_HERE = "multirun"
_draw = random.Random()


def _late(operation: Callable[..., Any]) -> Callable[..., Any]:
    def delayed(*args: Any, **kwargs: Any) -> Any:
        if args and _HERE in str(args[0]) and _draw.random() < 0.2:
            time.sleep(_draw.uniform(0, _LATE))
        return operation(*args, **kwargs)

    return delayed


for _name in ("open", "replace", "utime", "unlink", "stat", "scandir", "mkdir"):
    setattr(os, _name, _late(getattr(os, _name)))
_node = os.environ.get("SLOW_HOST")
if _node:
    platform.node = lambda: _node  # type: ignore[assignment,return-value]
