"""Makes crossweep's configuration groups available to other Hydra programs that ask for them."""
