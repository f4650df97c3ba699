# Every claim, judged by all experiments of `reproduce-all`.


rule claims:
    input:
        expand("{folder}/{experiment}/measurements.csv", folder=RESULTS / SCALE, experiment=EXPERIMENTS),
        [path for name in EXPERIMENTS for path in [*scaling(name).values(), *controls(name)]],
        claims=sorted(str(path) for path in Path(ROOT, "workflow", "claims").glob("*.yaml")),
        code=package("claims")
        + package("statistics")
        + code("confirmations.py", "points.py", "scaling/laws.py", "styles.py"),
    output:
        report(f"{RESULTS}/{SCALE}/verdicts.csv", caption="../report/verdicts.rst", category="verdicts"),
    log:
        f"{RESULTS}/logs/{SCALE}_claims.log",
    group:
        "report"
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        scale=SCALE,
        experiments=EXPERIMENTS,
    shell:
        "python -m workflow.claims --scale {params.scale} --results {params.results} --output {output} {params.experiments}"
        " 2>&1 | tee {log}"
