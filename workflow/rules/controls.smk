# Whether what is known beforehand came out: controls of an experiment that trains, for the report's first page.


rule controls:
    input:
        plan=f"{RESULTS}/{SCALE}/{{experiment}}/plan.json",
        measurements=f"{RESULTS}/{SCALE}/{{experiment}}/measurements.csv",
        code=package("controls") + package("statistics") + code("confirmations.py"),
    output:
        f"{RESULTS}/{SCALE}/{{experiment}}/controls.csv",
    log:
        f"{RESULTS}/logs/{SCALE}_{{experiment}}_controls.log",
    group:
        "analysis"
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards: RESULTS / SCALE / wildcards.experiment,
        runs=RESULTS / "runs",
    shell:
        "python -m workflow.controls {params.folder} --runs {params.runs} --output {output} 2>&1 | tee {log}"
