"""Each paper's own residual block, with its published initialisation."""
