"""Long context: what a model finds, follows and counts in a long row, and what it computes of one."""
