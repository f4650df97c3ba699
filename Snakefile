"""Targets: `reproduce-all`, and one per experiment. What happens to a run is in workflow/rules, and why in workflow/*.py."""

import sys
from pathlib import Path

from workflow import configuration as stated
from workflow.blueprint import blueprint
from workflow.configuration import configuration
from workflow.rst import captions


report: "workflow/report/workflow.rst"


try:
    CONFIGURATION = configuration(config)
    RESULTS = Path(CONFIGURATION.results)
    SCALE = CONFIGURATION.scale
    BLUEPRINT = blueprint(CONFIGURATION, anew=workflow.is_main_process)
    EXPERIMENTS = list(BLUEPRINT.experiments)
except ValueError as error:
    sys.exit(f"error: {error}")

# Where the code lies: not beside the main Snakefile where that is workflow/Snakefile.
ROOT = Path(stated.__file__).resolve().parent.parent

DEPLOYED = {str(method) for method in workflow.deployment_settings.deployment_method}
if "apptainer" in DEPLOYED and not CONFIGURATION.container:
    sys.exit("error: --sdm apptainer needs an image to run jobs in: --config container=trial.sif")

# Jobs run in the environment of this process, but where --sdm brings one of its own. A prefix of one's own takes the place of
# Snakemake's, without whose pipefail a job that is piped into its log could not fail.
if not DEPLOYED:
    shell.prefix(f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH"; ')


if CONFIGURATION.container:

    container: CONFIGURATION.container


rule:
    name:
        "reproduce-all"
    default_target: True
    input:
        f"{RESULTS}/{SCALE}/report.html",
        f"{RESULTS}/{SCALE}/report.pdf",
        f"{RESULTS}/{SCALE}/SHA256SUMS",


for name in EXPERIMENTS:

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
