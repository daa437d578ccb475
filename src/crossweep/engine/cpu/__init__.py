"""Compiled kernels on a CPU."""
