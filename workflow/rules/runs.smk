# Every cohort of runs is one process. The runs' folders are named by specification and code, so a result that is there
# stays: `update` keeps the finished runs of a cohort that was cut, `ancient` keeps a folder's date from meaning anything.

MODULES = {
    "pretrain": "workflow.training",
    "screen": "workflow.training",
    "tune": "workflow.training",
    "confirm": "workflow.training",
    "control": "workflow.training",
    "reference": "workflow.references",
    "profile": "workflow.profiling",
}


# What a cluster gives a cohort of runs at first; one that took longer or needed more goes on with more.
MEMORY_MB = CONFIGURATION.memory_mb or {"smoke": 3000, "quick": 4000, "paper": 32000}[SCALE]
MINUTES = CONFIGURATION.minutes or {"smoke": 20, "quick": 120, "paper": 1440}[SCALE]


def asked(cohort):
    """What a job asks a cluster for, more at every attempt; `--config gpu=1` gives each job that runs networks one."""
    given = {
        "mem_mb": lambda wildcards, attempt: MEMORY_MB * attempt,
        "runtime": lambda wildcards, attempt: MINUTES * attempt,
    }
    if cohort.role != "reference":
        given["gpu"] = CONFIGURATION.gpu
    if cohort.role == "profile":
        given["slurm_extra"] = "'--exclusive'"
    return given


for name, cohort in BLUEPRINT.cohorts.items():

    rule:
        name:
            name
        input:
            ancient(expand("{folder}/run.json", folder=run_folders(cohort.runs))),
            ancient(expand("{folder}/result.json", folder=run_folders(cohort.needs))),
        output:
            update(expand("{folder}/result.json", folder=run_folders(cohort.runs))),
        log:
            f"{RESULTS}/logs/{name}.log",
        conda:
            "../../environment.yml"
        # Timing jobs run alone: here on all cores, on a cluster on a node of their own.
        threads: (workflow.cores or 1) if cohort.role == "profile" else 1
        resources:
            **asked(cohort),
        params:
            module=MODULES[cohort.role],
            folders=run_folders(cohort.runs),
            watch=RESULTS / SCALE,
            stack=f" --stack {CONFIGURATION.stack}" if MODULES[cohort.role] == "workflow.training" else "",
        shell:
            "python -m {params.module}{params.stack} --watch {params.watch} {params.folders} 2>&1 | tee {log}"
