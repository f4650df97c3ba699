# What authors take into papers, and the report in print.


rule paper:
    input:
        [f"{RESULTS}/{SCALE}/{name}/{part}" for name in EXPERIMENTS for part in ("figures", "tables")],
        [path for name in EXPERIMENTS for path in [*scaling(name).values(), *laws(name)]],
        expand("{folder}/{table}.csv", folder=INTERPRETATION, table=["gates", "summary", "inputs"]),
        [f"{RESULTS}/{SCALE}/{name}/controls.csv" for name in EXPERIMENTS if BLUEPRINT.experiments[name].confirms],
        f"{RESULTS}/{SCALE}/verdicts.csv",
        [
            str(path)
            for path in sorted(Path(ROOT, "workflow", "paper").iterdir())
            if path.suffix in (".py", ".bib", ".yaml", ".typ", ".jinja")
        ],
        package("scaling") + package("laws") + package("report"),
        code(*(f"interpretation/{name}.py" for name in ("pictures", "page", "horizons", "told"))),
        code(
            "captions.py",
            "tabular.py",
            "figures.py",
            "drawing.py",
            "panels.py",
            "measured.py",
            "points.py",
            "styles.py",
        ),
    output:
        folder=directory(f"{RESULTS}/{SCALE}/paper"),
        report=f"{RESULTS}/{SCALE}/report.pdf",
    log:
        f"{RESULTS}/logs/{SCALE}_paper.log",
    group:
        "report"
    conda:
        "../../environment.yml"
    params:
        results=RESULTS,
        scale=SCALE,
        experiments=EXPERIMENTS,
    shell:
        "python -m workflow.paper --scale {params.scale} --results {params.results} --output {output.folder}"
        " --report {output.report} {params.experiments} 2>&1 | tee {log}"
