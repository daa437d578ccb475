"""crossweep: how robust is analog in-memory training, and how bad may a device become?

Map: ``devices`` (physics of one cross-point) -> ``tiles`` (one crossbar: read, transposed read, pulsed update)
-> ``algorithms`` (training rules that own tiles) -> ``nn`` (layers, conversion of a digital model)
-> ``training`` (loops) -> ``build`` (configuration to objects) -> ``train`` (the entry point).
Beside them: ``sweep`` (Optuna studies behind Hydra), ``results`` and ``report`` (tables, maps, HTML).

In Python: ``convert`` (a torch model onto crossbars), ``Optimizer`` (its steps in a loop of one's own), ``option`` (an
option's device, rule, ... as an object), ``run`` (one training), ``load`` (the model that it left), ``study`` (the answer
of a study). Each is loaded at first use.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossweep.api.conversion import convert
    from crossweep.api.optimizer import Optimizer
    from crossweep.api.runs import run
    from crossweep.api.studies import study
    from crossweep.api.trained import load
    from crossweep.chosen import option

__all__ = ["Optimizer", "__version__", "convert", "load", "option", "run", "study"]
_HOME = {
    "convert": "api.conversion",
    "Optimizer": "api.optimizer",
    "run": "api.runs",
    "study": "api.studies",
    "load": "api.trained",
    "option": "chosen",
}

# Threads of torch that wait must not spin: the compiled kernels run between torch's own operations, on threads of theirs,
# and would share their cores with the spinning ones. OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
