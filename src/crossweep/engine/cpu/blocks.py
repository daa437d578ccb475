"""The block of devices that compiled kernels take at a time: its size, known without loading the compiler."""

LANES, ROWS = 16, 32  # columns and rows; one is a multiple of the other
SIZE = ROWS * LANES
BAND = 256  # rows whose coincidences are counted together, in whole blocks
# quantities of a block lie so far apart that those of one device do not compete for the same lines of the cache
STRIDE = SIZE + 16


TALL = 160  # rows from which on counters in bit planes are the faster way


def covering(n: int) -> int:
    """How many block rows cover ``n`` rows: the unit in which threads share the work."""
    return -(-n // ROWS)


def column_blocks(n: int) -> int:
    """How many blocks of columns cover ``n`` columns: the unit in which threads share what begins with counting."""
    return -(-n // LANES)


def padded(n: int) -> int:
    """``n`` lines rounded up to whole blocks; those beyond the crossbar never pulse."""
    return covering(n) * ROWS
