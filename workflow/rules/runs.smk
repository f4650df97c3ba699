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


for plan in PLANS.values():
    plans.write_plan(plan, results=RESULTS)

for name, cohort in plans.cohorts(PLANS.values()).items():

    rule:
        name:
            name
        input:
            ancient(expand("{folder}/run.json", folder=run_folders([run.id for run in cohort]))),
            ancient(expand("{folder}/result.json", folder=run_folders(plans.needs(cohort)))),
        output:
            update(expand("{folder}/result.json", folder=run_folders([run.id for run in cohort]))),
        log:
            f"{RESULTS}/logs/{name}.log",
        conda:
            "../../environment.yml"
        # Timing jobs run alone.
        threads: workflow.cores if cohort[0].role == "profile" else 1
        params:
            module=MODULES[cohort[0].role],
            folders=run_folders([run.id for run in cohort]),
            watch=RESULTS / SCALE,
            stack=f" --stack {STACK}" if MODULES[cohort[0].role] == "workflow.training" else "",
        shell:
            "python -m {params.module}{params.stack} --watch {params.watch} {params.folders} 2>&1 | tee {log}"
