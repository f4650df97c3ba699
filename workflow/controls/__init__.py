"""Measurements -> whether what is known beforehand came out: the controls of an experiment that trains."""
