"""The reference: torch on any device."""
