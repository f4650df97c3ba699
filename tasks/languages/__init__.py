"""Formal languages: strings read to the end, then answered."""
