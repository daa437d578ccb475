"""E-RIDER: RIDER with choppers, or AGAD with a visible fast tile."""

from dataclasses import dataclass

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.rider import Residual


@dataclass(frozen=True, kw_only=True)
class ERIDER(Residual, AGAD):
    """The gradient, with chopped signs, is taken at ``C + g c (A - Qt)`` and goes onto A; at each read v of a column
    ``Q <- (1 - eta) Q + eta v`` follows A's symmetry point, C moves, through the buffer, by ``transfer_lr c (v - Qt)``,
    and at a flip of the chopper ``Qt <- Q``.

    ``eta = min(tail_weightening in_chop_prob, 1)`` for a regular chopper. With ``gamma = 0`` this is AGAD, state by
    state (Q is its running mean, Qt its past mean): what E-RIDER adds is that the gradient is taken where A acts.

    Source: Xiao et al., arXiv 2602.21321 (ICML 2026), algorithm 2.
    Differs: Qt is a digital number per device here; theirs is an array of its own that is programmed at flips. As in AGAD,
        nothing is written before each column has seen a full period of its chopper.
    """
