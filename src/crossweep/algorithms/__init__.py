"""Training rules: each owns one or more tiles and digital state, and turns ``(x, d, learning rate)`` into
pulses.

``base`` is the contract; ``schedule`` (which column is read when), ``hidden_buffer``, ``chopper`` and
``auto_scale`` are parts shared by the Tiki-Taka family. To add a rule, write ``algorithms/<name>.py`` and
``conf/algorithm/<name>.yaml``.
"""
