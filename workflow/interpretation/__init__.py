"""What trained networks do with one and the same input: gates, memory horizons, and who is read at every token.

`subjects` says which networks and which inputs, `records` lays them open, `pictures` draws and `told` says what is seen.
"""
