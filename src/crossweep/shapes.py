"""Shape checks at the doors of tiles and devices.

Letters used in all docstrings: ``...`` leading batch dimensions (device instances that train at once),
``b`` samples of a mini-batch, ``d`` outputs (rows, ``d_size``), ``x`` inputs (columns, ``x_size``).
"""

from torch import Tensor

from crossweep.errors import ShapeError


def require_last(name: str, tensor: Tensor, *sizes: int) -> None:
    """The last dimensions of ``tensor`` are ``sizes``.

    Raises:
        ShapeError: they are not.
    """
    if tuple(tensor.shape[-len(sizes) :]) != sizes:
        raise ShapeError(f"`{name}` must end in dimensions {sizes}, got {tuple(tensor.shape)}")


def require_batch(x: Tensor, d: Tensor, d_size: int, x_size: int) -> None:
    """``x [..., b, x]`` and ``d [..., b, d]`` belong to one mini-batch of a ``d_size`` by ``x_size`` tile.

    Raises:
        ShapeError: sizes or batch dimensions differ.
    """
    require_last("x", x, x_size)
    require_last("d", d, d_size)
    if x.shape[:-1] != d.shape[:-1]:
        raise ShapeError(
            f"`x` and `d` must share batch dimensions, got {tuple(x.shape)} and {tuple(d.shape)}"
        )
