"""Crossbars: drawn devices with their state (``analog_tile``, ``unit_cells``), who makes them, how weights lie on them."""
