# mypy: ignore-errors
"""Numbers that are no tensors: the same for all instances, or each its own."""

import triton
import triton.language as tl


@triton.jit
def of_instance(numbers, k, N: tl.constexpr):
    """The ``N`` numbers of an instance: a tuple that all share, or row ``k`` of a table [instances, N].

    Triton compiles a kernel for each of the two, so numbers that all share cost no reads of memory.
    """
    found = ()
    for n in tl.static_range(N):
        if isinstance(numbers, tl.tensor):
            found = found + (tl.load(numbers + k * N + n),)  # noqa: RUF005  (Triton unpacks no tuples)
        else:
            found = found + (tl.full((), numbers[n], tl.float32),)  # noqa: RUF005
    return found
