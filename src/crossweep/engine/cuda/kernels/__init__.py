"""Triton kernels; imported only when the engine is used.

Sizes that change from one mini-batch to the next are not specialised: Triton would compile a kernel again for each of them
that is one or a multiple of 16.
"""
