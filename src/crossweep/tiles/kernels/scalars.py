"""What the kernels are told of a response beside its tensors. Plain Python: known without loading the compiler."""

from typing import NamedTuple

import numpy as np

AFFINE, EXPONENTIAL = range(2)  # kinds of responses


class Scalars(NamedTuple):
    """Numbers that all devices of a crossbar share, and of an exponential response also its shape; float32 but the kind.

    Args:
        kind: of the response.
        noise: standard deviation of a pulse [its step].
        relative: 1 if that is the step at the state, 0 if it is the step at zero.
        kappa: mean number of same-direction pulses that come together.
        write: standard deviation of the write noise [w].
        a_up, g_up: amplitude and rate of up steps, see ``Exponential``.
        a_down, g_down: of down steps.
        offset: of the scaled state.
        floor: noise that is there without a step [w].
        slope: noise per size of the state [1].
    """

    kind: int
    noise: np.float32
    relative: np.float32
    kappa: np.float32
    write: np.float32
    a_up: np.float32
    g_up: np.float32
    a_down: np.float32
    g_down: np.float32
    offset: np.float32
    floor: np.float32
    slope: np.float32
