"""Recall and memory: what a model keeps of what it has read."""
