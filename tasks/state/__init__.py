"""State tracking: what a model computes as it reads."""
