"""Compiled CPU kernels of the tiles (numba); imported at first use only, since the compiler takes a second
to load.

``bits`` (machine instructions, hash, numbers from it), ``draw`` (pulse words), ``count`` (coincidences and
the
response of affine devices), ``sequence`` (every pulse in order), ``threads`` (rows over threads). Random
numbers are
hashes of a key and a position: the same bits for any number of threads.
"""
