"""How cost grows with length, or with the batch, and where two lines cross.

`lines` groups estimates by all but what varies; `exponents` has the statistics of a power law, `crossings` those of two lines
that cross; `laws` makes the table of the one, `pairs` that of the other, and `told` says both in sentences and in rows of
text, `against` how all lines compare with a Transformer. `drawn` has the figures that go with them.
"""
