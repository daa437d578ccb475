"""Adam at the reads: chopped Tiki-Taka whose transfers have the geometry of Adam."""

from dataclasses import dataclass

from crossweep.algorithms.cttv2 import CTTv2


@dataclass(frozen=True, kw_only=True)
class TTAdam(CTTv2):
    """c-TTv2 whose reads are divided by the root of a running mean of their squares before they fill the buffer.

    The fast tile A is a running mean of the gradient already: the first moment of Adam, in memory. What is missing is
    the second one, and it is cheap where it is kept for the *reads*. Of a read v of a column [w], with its chopper's
    sign c, per device::

        u = c v
        V <- (1 - w) V + w u^2              w = (1 - b) / (1 - b^n),  b = beta2^(1/r)         [w^2]
        H <- H + lambda u / (sqrt(V) + eps dw_min(A))                                         [1]
        n_p = trunc(H), H <- H - n_p        n_p pulses of ``step`` steps onto the slow tile C
        lambda = lr transfer_lr / (r scale step dw_min(C))                                    [1]

    ``n`` counts the reads of the column, ``r`` is their mean number per mini-batch, and ``scale`` the logical weight per
    weight of C (the mapping's, per row). V and H are [rows, columns] as the weight: one digital number per weight more than
    c-TTv2, and nine digital operations for every number that is *read*, which is one per row and transfer, where Adam on
    digital outer products needs them for every weight and sample.

    If all reads of a device have one sign, its logical weight moves by ``lr transfer_lr`` per mini-batch, as under Adam:
    no threshold has to be tuned to the data set. Gradients of any size give the same updates (with ``auto_scale`` on the
    pulses, and V at the reads). An offset of A's symmetry point that is large against the signal is in V as well, so
    between two flips it moves C by at most as much as a signal would. Flips too soon are worse: until A has turned round,
    V holds what is left of the phase before, and reads are small against it (``in_chop_turns``).

    Source: this project's own; no published rule like it was found. Derived from c-TTv2 (Rasch et al., Nat. Commun. 15:7133
        (2024)) and Adam (Kingma and Ba, arXiv 1412.6980 (2014)).
    """
