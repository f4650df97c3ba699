"""Targets: `reproduce-all`, and one per experiment. What happens to a run is in workflow/rules, and why in workflow/*.py."""

import sys
from pathlib import Path

from workflow import plans

RESULTS = Path(config.get("results", "results"))
SCALE = config.get("scale", "quick")
# Experiments apart, as in: snakemake survey --config also=survey
ALSO = str(config.get("also", "")).split()
# How runs that differ in learning rate and seed only are trained: auto, always (as one program) or never.
STACK = config.get("stack", "auto")

try:
    PLANS = {name: plans.plan(name, scale=SCALE) for name in [*plans.reproduced_names(), *ALSO]}
except ValueError as error:
    sys.exit(f"error: {error}")

shell.prefix(f'export PATH="{Path(sys.executable).parent}:$PATH"; ')


rule:
    name:
        "reproduce-all"
    default_target: True
    input:
        f"{RESULTS}/{SCALE}/report.html",
        f"{RESULTS}/{SCALE}/report.pdf",
        f"{RESULTS}/{SCALE}/SHA256SUMS",


for name in PLANS:

    rule:
        name:
            name
        input:
            f"{RESULTS}/{SCALE}/{name}/figures",
            f"{RESULTS}/{SCALE}/{name}/tables",
            lambda wildcards, name=name: laws(name),


include: "workflow/rules/paths.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/laws.smk"
include: "workflow/rules/interpretation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/verification.smk"
