"""The six synthetic tasks of MAD, which predict how an architecture scales (Poli et al. 2024, arXiv:2403.17844)."""
