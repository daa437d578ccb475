"""Triton kernels; imported only when the engine is used."""
