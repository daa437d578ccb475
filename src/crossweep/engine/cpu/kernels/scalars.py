"""What the kernels are told beside tensors, of responses, reads and transfers. Plain Python: known without loading the
compiler."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F = np.float32
AFFINE, EXPONENTIAL, TABLE, POWER = range(4)  # kinds of responses


class Scalars(NamedTuple):
    """Numbers that all devices of a crossbar share, and of an exponential response also its shape; float32 but the kind.

    Args:
        kind: of the response.
        curves: of a table, its sets end to end: up and down steps, up and down noise, see ``Table`` [4, nodes].
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
    curves: NDArray[np.float32]
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


class Threshold(NamedTuple):
    """``program.Buffered`` as the kernel takes it."""

    momentum: np.float32 = F(0)
    forget: bool = False
    longest: np.float32 = F(0)
    limit: np.float32 = F(np.inf)  # of what stays after a transfer
    no_buffer: bool = False
    past: np.float32 = F(0)
    floor: np.float32 = F(1)  # of the root that normalises
    step: np.float32 = F(0)


class Train(NamedTuple):
    """``program.Smoothed`` as the kernel takes it."""

    drive: np.float32 = F(0)  # strength over C's step
    longest: np.float32 = F(0)
    managed: bool = False
    shorten: bool = False
    grad_scale: np.float32 = F(0)
    rows: bool = False
    least: np.float32 = F(0)
    averaged: bool = False


class Reads(NamedTuple):
    """One-hot reads as the kernel takes them."""

    perfect: bool
    drive: np.float32 = F(0)
    w_noise: np.float32 = F(0)
    by_weight: bool = False
    out_noise: np.float32 = F(0)
    bin_width: np.float32 = F(0)
    bound: np.float32 = F(np.inf)
    ir_drop: np.float32 = F(0)
    wire: np.float32 = F(0)  # number of lines over the wire's conductance
    lines: np.float32 = F(0)
