"""Compiled CPU kernels of the tiles (numba); imported at first use only, since the compiler takes a second to load.

``bits`` (machine instructions, hash), ``maths`` (functions, normal numbers), ``draw`` (pulse words), ``vectors`` (inner
products in vector registers), ``block`` (a block of devices in the cache), ``affine``, ``exponential``, ``power`` and
``tabulated`` (its response), ``scalars`` (what they are told of it), ``update`` and ``windows`` (whole mini-batches),
``sequence`` (every pulse in order), ``threads`` (blocks over threads). Random numbers are hashes of a key and a position:
the same bits for any number of threads.
"""
