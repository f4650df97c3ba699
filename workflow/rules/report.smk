# From results to what people read: made again, byte for byte, from the same results, and anew when its code changes.


for name, chapter in BLUEPRINT.experiments.items():

    rule:
        name:
            f"{name}_measurements"
        input:
            plan=f"{RESULTS}/{SCALE}/{name}/plan.json",
            code=code("measurements.py"),
            results=expand("{folder}/result.json", folder=run_folders(chapter.runs)),
        output:
            f"{RESULTS}/{SCALE}/{name}/measurements.csv",
        log:
            f"{RESULTS}/logs/{SCALE}_{name}_measurements.log",
        group:
            "analysis"
        conda:
            "../../environment.yml"
        params:
            runs=RESULTS / "runs",
        shell:
            "python -m workflow.measurements {input.plan} --runs {params.runs} --output {output} 2>&1 | tee {log}"


rule estimates:
    input:
        measurements=f"{RESULTS}/{SCALE}/{{experiment}}/measurements.csv",
        code=package("statistics") + code("estimates.py", "confirmations.py"),
    output:
        f"{RESULTS}/{SCALE}/{{experiment}}/estimates.csv",
    log:
        f"{RESULTS}/logs/{SCALE}_{{experiment}}_estimates.log",
    group:
        "analysis"
    conda:
        "../../environment.yml"
    shell:
        "python -m workflow.estimates {input.measurements} --output {output} 2>&1 | tee {log}"


rule figures:
    input:
        plan=f"{RESULTS}/{SCALE}/{{experiment}}/plan.json",
        estimates=f"{RESULTS}/{SCALE}/{{experiment}}/estimates.csv",
        measurements=f"{RESULTS}/{SCALE}/{{experiment}}/measurements.csv",
        code=package("scaling")
        + package("statistics")
        + code(
            "figures.py",
            "drawing.py",
            "panels.py",
            "measured.py",
            "points.py",
            "styles.py",
            "captions.py",
            "tuning.py",
        ),
    output:
        report(
            directory(f"{RESULTS}/{SCALE}/{{experiment}}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="{experiment}",
            subcategory="figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{RESULTS}/logs/{SCALE}_{{experiment}}_figures.log",
    group:
        "analysis"
    conda:
        "../../environment.yml"
    params:
        captions=lambda wildcards, output: captions(Path(output[0])),
    shell:
        "python -m workflow.figures {input.plan} {input.estimates} {input.measurements} --output {output} 2>&1 | tee {log}"


rule scaling:
    input:
        estimates=f"{RESULTS}/{SCALE}/{{experiment}}/estimates.csv",
        measurements=f"{RESULTS}/{SCALE}/{{experiment}}/measurements.csv",
        code=package("scaling") + package("statistics") + code("points.py", "styles.py"),
    output:
        scaling=f"{RESULTS}/{SCALE}/{{experiment}}/scaling.csv",
        crossovers=f"{RESULTS}/{SCALE}/{{experiment}}/crossovers.csv",
    log:
        f"{RESULTS}/logs/{SCALE}_{{experiment}}_scaling.log",
    group:
        "analysis"
    conda:
        "../../environment.yml"
    shell:
        "python -m workflow.scaling {input.estimates} {input.measurements} --scaling {output.scaling}"
        " --crossovers {output.crossovers} 2>&1 | tee {log}"


rule tables:
    input:
        unpack(lambda wildcards: scaling(wildcards.experiment)),
        plan=f"{RESULTS}/{SCALE}/{{experiment}}/plan.json",
        estimates=f"{RESULTS}/{SCALE}/{{experiment}}/estimates.csv",
        measurements=f"{RESULTS}/{SCALE}/{{experiment}}/measurements.csv",
        code=package("scaling")
        + package("statistics")
        + code(
            "tables.py",
            "tabular.py",
            "conditions.py",
            "measured.py",
            "points.py",
            "styles.py",
            "fairness.py",
            "tuning.py",
        ),
    output:
        report(
            directory(f"{RESULTS}/{SCALE}/{{experiment}}/tables"),
            patterns=["{table}.md"],
            caption="../report/table.rst",
            category="{experiment}",
            subcategory="tables",
            labels={"table": "{table}"},
        ),
    log:
        f"{RESULTS}/logs/{SCALE}_{{experiment}}_tables.log",
    group:
        "analysis"
    conda:
        "../../environment.yml"
    params:
        captions=lambda wildcards, output: captions(Path(output[0])),
        scaling=lambda wildcards, input: " ".join(f"--{name} {input[name]}" for name in scaling(wildcards.experiment)),
    shell:
        "python -m workflow.tables {input.plan} {input.estimates} {input.measurements} {params.scaling} --output {output}"
        " 2>&1 | tee {log}"


rule report:
    input:
        f"{RESULTS}/{SCALE}/verdicts.csv",
        expand("{folder}/{experiment}/figures", folder=RESULTS / SCALE, experiment=EXPERIMENTS),
        expand("{folder}/{experiment}/tables", folder=RESULTS / SCALE, experiment=EXPERIMENTS),
        [path for name in EXPERIMENTS for path in scaling(name).values()],
        [path for name in EXPERIMENTS for path in [*controls(name), *laws(name)]],
        f"{INTERPRETATION}/figures",
        package("report") + package("scaling") + package("laws") + package("statistics"),
        code("captions.py", "measured.py", "tabular.py", "fairness.py"),
        code(
            *(
                f"report/{name}.jinja"
                for name in ("page.html", "verdicts.html", "chapter.html", "parts.html", "style.css", "script.js")
            )
        ),
    output:
        f"{RESULTS}/{SCALE}/report.html",
    log:
        f"{RESULTS}/logs/{SCALE}_report.log",
    group:
        "report"
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        scale=SCALE,
        experiments=EXPERIMENTS,
    shell:
        "python -m workflow.report --scale {params.scale} --results {params.results} --output {output} {params.experiments}"
        " 2>&1 | tee {log}"
