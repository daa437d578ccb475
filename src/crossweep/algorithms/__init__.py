"""Training rules: each owns one or more tiles and digital state, and turns ``(x, d, learning rate)`` into pulses.

``base`` is the contract. Rules of the Tiki-Taka family are parameters (``tiki_taka`` and one file each) that become a
program for each mini-batch (``engine.program``); ``chain_weight`` holds their tiles and numbers. To add a rule,
write ``algorithms/<name>.py`` and ``conf/algorithm/<name>.yaml``; CONTRIBUTING shows one.
"""
