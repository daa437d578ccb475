"""Classes that the compiled kernels know by what they declare, not by their methods."""

import inspect
from collections.abc import Sequence

from crossweep.errors import ConfigError


def require_declared(kind: type, methods: Sequence[str], declarations: Sequence[str], base: type) -> None:
    """A class that gives one of ``methods`` anew says anew what the kernels do instead of it.

    Args:
        kind: the class, at its definition.
        methods: what runs where there is no kernel.
        declarations: what a kernel runs by; one of them must be given at least as late as each method.
        base: the class whose declarations say that there is no kernel.

    Raises:
        ConfigError: a kernel would not see a method of ``kind``.
    """
    order = kind.__mro__

    def place(name: str) -> int:
        return next((i for i, part in enumerate(order) if name in vars(part)), len(order))

    declared = min(place(name) for name in declarations)
    known = order[declared:]
    if not known or known[0] is base or inspect.isabstract(known[0]):
        return
    for method in methods:
        if place(method) < declared and any(method in vars(part) for part in known):
            rule = f"the compiled kernels follow {' and '.join(declarations)} instead, so give that too"
            raise ConfigError(f"{kind.__name__}.{method}: {rule} (None: this method runs)")
