"""What a phase of a network, or of its mixer alone, costs at one length.

`workloads` makes the phase ready to be called again and again, `gate` asks whether what is timed computes what its definition
does, `shapes` counts beforehand, `meters` reads energy, clock, temperature and load, and what the device can do at most,
`sampling` measures in one process, `streaming` follows a network along a stream, and `rounds` gives every point its processes,
the architectures in turn, and makes the outcomes.
"""
