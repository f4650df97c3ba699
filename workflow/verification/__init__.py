"""Are the numbers those of the records, and does another run say the same?

`remaking` makes a result set again from its records and `differing` says what is not the same; `sums` notices a record that was
changed, `records` one that is not of its run, `reruns` runs some again. `comparison` sets a result set against a reference,
made by `keeping`, run by run (`golden`) and estimate by estimate (`matching`). `crate` and `croissant` describe a result set to
machines.
"""
