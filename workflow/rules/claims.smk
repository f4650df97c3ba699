# Every claim, judged by all experiments of `reproduce-all`.


rule claims:
    input:
        expand("{folder}/{experiment}/measurements.csv", folder=RESULTS / SCALE, experiment=list(PLANS)),
        [path for name in list(PLANS) for path in [*scaling(name).values(), *controls(name)]],
        claims=sorted(str(path) for path in Path(workflow.basedir, "workflow", "claims").glob("*.yaml")),
        code=package("claims")
        + package("statistics")
        + code("confirmations.py", "points.py", "scaling/laws.py", "styles.py"),
    output:
        f"{RESULTS}/{SCALE}/verdicts.csv",
    log:
        f"{RESULTS}/logs/{SCALE}_claims.log",
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        scale=SCALE,
        experiments=list(PLANS),
    shell:
        "python -m workflow.claims --scale {params.scale} --results {params.results} --output {output} {params.experiments}"
        " 2>&1 | tee {log}"
