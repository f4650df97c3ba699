"""Verdicts, controls, figures, tables and estimates -> one HTML page that needs nothing else: no network, no font.

    python -m workflow.report --scale quick --results results --output results/quick/report.html recall state-tracking

Reads `verdicts.csv` and, of every experiment, `plan.json`, `measurements.csv`, `estimates.csv` and `figures/` in its folder,
results/<scale>/<experiment>; of one that trains also `controls.csv`, of one that profiles `scaling.csv` and
`crossovers.csv`; and, where they are there, the `laws.csv` of an experiment and the figures in results/<scale>/interpretation.
Every number on the page is computed from those, and the page of the same tables is the same, byte for byte.

`document` puts it together from `verdicts`, `controls`, `chapters` with their `sections`, and `origins`; `shown` and `markup`
make HTML of figures and tables.
"""

from workflow.report.document import page as page
