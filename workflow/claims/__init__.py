"""Claims on trial: files of claims, the evidence for each among the estimates, and a verdict on every one."""
