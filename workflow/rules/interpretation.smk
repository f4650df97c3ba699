# Gate dynamics and attention for the same inputs: networks trained for looking at, what they do, and its pictures.

INTERPRETATION = f"{RESULTS}/{SCALE}/interpretation"


rule interpretation:
    input:
        f"{INTERPRETATION}/figures",


rule interpretation_tables:
    input:
        code("interpretation/subjects.yaml"),
        code(*(f"interpretation/{name}.py" for name in ("__main__", "records", "subjects", "tokens", "training"))),
        str(Path(ROOT, "models", "gate_dynamics.py")),
    output:
        gates=f"{INTERPRETATION}/gates.csv",
        summary=f"{INTERPRETATION}/summary.csv",
        inputs=f"{INTERPRETATION}/inputs.csv",
    log:
        f"{RESULTS}/logs/{SCALE}_interpretation_tables.log",
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        folder=lambda wildcards, output: Path(output.gates).parent,
        # Named by specification and code: when either changes, the networks are trained again.
        runs=list(BLUEPRINT.interpreted),
    shell:
        "python -m workflow.interpretation --scale {params.scale} --output {params.folder} 2>&1 | tee {log}"


rule interpretation_pictures:
    input:
        gates=f"{INTERPRETATION}/gates.csv",
        summary=f"{INTERPRETATION}/summary.csv",
        inputs=f"{INTERPRETATION}/inputs.csv",
        code=code(*(f"interpretation/{name}.py" for name in ("pictures", "page", "horizons", "told")))
        + code("figures.py", "panels.py", "styles.py"),
    output:
        report(
            directory(f"{INTERPRETATION}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="interpretation",
            subcategory="figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{RESULTS}/logs/{SCALE}_interpretation_pictures.log",
    group:
        "report"
    conda:
        "../../environment.yml"
    params:
        captions=lambda wildcards, output: captions(Path(output[0])),
        folder=lambda wildcards, input: Path(input.gates).parent,
    shell:
        "python -m workflow.interpretation.pictures {params.folder} --output {output} 2>&1 | tee {log}"
