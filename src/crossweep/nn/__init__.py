"""Analog layers: ``tiled_weight`` (a weight over several tiles), ``layers`` (what replaces torch's layers),
``functional`` (the autograd seam), ``convert`` (a digital model into an analog one).
"""
