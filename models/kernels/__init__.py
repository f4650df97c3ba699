"""Fused forms of the recurrences, one file per architecture; each function has the signature of the one it replaces."""
