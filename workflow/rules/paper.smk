# What authors take into papers, and the report in print.


rule paper:
    input:
        [f"{RESULTS}/{SCALE}/{name}/figures" for name in list(PLANS)],
        [path for name in list(PLANS) for path in [*scaling(name).values(), *laws(name)]],
        expand("{folder}/{table}.csv", folder=INTERPRETATION, table=["gates", "summary", "inputs"]),
        [
            f"{RESULTS}/{SCALE}/{name}/controls.csv"
            for name in list(PLANS)
            if any(planned.role == "confirm" for planned in PLANS[name].runs)
        ],
        f"{RESULTS}/{SCALE}/verdicts.csv",
        [
            str(path)
            for path in sorted(Path(workflow.basedir, "workflow", "paper").iterdir())
            if path.suffix in (".py", ".bib", ".yaml", ".typ", ".jinja")
        ],
        package("scaling") + package("laws") + package("report"),
        code(*(f"interpretation/{name}.py" for name in ("pictures", "page", "horizons", "told"))),
        code(
            "captions.py",
            "tables.py",
            "fairness.py",
            "figures.py",
            "drawing.py",
            "panels.py",
            "points.py",
            "styles.py",
        ),
    output:
        folder=directory(f"{RESULTS}/{SCALE}/paper"),
        report=f"{RESULTS}/{SCALE}/report.pdf",
    log:
        f"{RESULTS}/logs/{SCALE}_paper.log",
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        scale=SCALE,
        experiments=list(PLANS),
    shell:
        "python -m workflow.paper --scale {params.scale} --results {params.results} --output {output.folder}"
        " --report {output.report} {params.experiments} 2>&1 | tee {log}"
