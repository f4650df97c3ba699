"""How near two results of the same run must be, and on what that depends."""

# What decides the bits of a result, beside its run and its code (fields of `provenance`).
PLATFORM = ("processor", "device", "driver", "threads", "torch", "numpy", "processes", "sharded")

# Between platforms losses agree to about 1e-6 as long as little was learnt, where those of two seeds differ by .1;
# once a loss has fallen, two seeds may differ by no more than two platforms, and a comparison says nothing.
EARLY_STEPS = 60
EARLY_LOSS = 1e-5
