"""What a person at a terminal wants at once: a run, a cost, a list, a check. All of it goes the way of every run."""
