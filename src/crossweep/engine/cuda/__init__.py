"""Triton kernels on a GPU; in Triton's interpreter (``TRITON_INTERPRET=1``) on a CPU, for tests."""
