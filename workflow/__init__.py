"""How a run becomes a number in the report. The modules, in the order a run passes them, are listed in the README.

Libraries of linear algebra are told to use one thread, before any is loaded: the last bits of their sums depend on how many
share the work, and a number of ours must not depend on a machine's cores, or on what Snakemake gives a rule.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
