"""Analog layers: ``tiled_weight`` (a weight over several tiles), ``layers`` (what replaces torch's layers),
``functional`` (the autograd seam), ``convertible`` (which layers have an exact counterpart), ``convert`` (a digital
model into an analog one), ``self_check`` (is it the same network?).
"""
