"""crossweep: how robust is analog in-memory training, and how bad may a device become?

Map: ``devices`` (physics of one cross-point) -> ``tiles`` (one crossbar: read, transposed read, pulsed update)
-> ``algorithms`` (training rules that own tiles) -> ``nn`` (layers, conversion of a digital model)
-> ``training`` (loops) -> ``build`` (configuration to objects) -> ``train`` (the entry point).
Beside them: ``sweep`` (Optuna studies behind Hydra), ``results`` and ``report`` (tables, maps, HTML).
"""

import os

# Threads of torch that wait must not spin: the compiled kernels run between torch's own operations, on threads of theirs,
# and would share their cores with the spinning ones. OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
