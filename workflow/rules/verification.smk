# What lies in a result set is described and sealed once it is there, and held against its records by `verify`, which has no
# input: Snakemake would make again what was changed, and with it hide that it was.


# What `compare` sets a fresh result set against.
REFERENCE = Path(CONFIGURATION.reference.replace("{scale}", SCALE))


rule seal:
    input:
        f"{RESULTS}/{SCALE}/report.html",
        f"{RESULTS}/{SCALE}/report.pdf",
        package("verification"),
    output:
        update(f"{RESULTS}/{SCALE}/SHA256SUMS"),
        f"{RESULTS}/{SCALE}/croissant.json",
        f"{RESULTS}/{SCALE}/ro-crate-metadata.json",
    log:
        f"{RESULTS}/logs/{SCALE}_seal.log",
    group:
        "report"
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        scale=SCALE,
        experiments=EXPERIMENTS,
    shell:
        "python -m workflow.verification seal --scale {params.scale} --results {params.results} {params.experiments}"
        " 2>&1 | tee {log}"


rule verify:
    log:
        f"{RESULTS}/logs/{SCALE}_verify.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        results=RESULTS,
        scale=SCALE,
        rerun=CONFIGURATION.rerun,
        experiments=EXPERIMENTS,
    shell:
        "python -m workflow.verification verify --scale {params.scale} --results {params.results} --rerun {params.rerun}"
        " --jobs {threads} {params.experiments} 2>&1 | tee {log}"


rule compare:
    input:
        f"{RESULTS}/{SCALE}/report.html",
    output:
        f"{RESULTS}/{SCALE}/comparison.csv",
    log:
        f"{RESULTS}/logs/{SCALE}_compare.log",
    conda:
        "../../environment.yml"
    params:
        fresh=RESULTS / SCALE,
        reference=REFERENCE,
        experiments=EXPERIMENTS,
    shell:
        "python -m workflow.verification compare --fresh {params.fresh} --reference {params.reference} --output {output}"
        " {params.experiments} 2>&1 | tee {log}"
