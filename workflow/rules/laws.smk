# How the loss falls with parameters, tokens and compute, where an experiment varies sizes and steps.


rule laws:
    input:
        measurements=f"{RESULTS}/{SCALE}/{{experiment}}/measurements.csv",
        code=package("laws") + code("panels.py", "points.py", "styles.py", "confirmations.py", "figures.py"),
    output:
        laws=f"{RESULTS}/{SCALE}/{{experiment}}/laws.csv",
        figures=report(
            directory(f"{RESULTS}/{SCALE}/{{experiment}}/laws"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="{experiment}",
            subcategory="laws",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{RESULTS}/logs/{SCALE}_{{experiment}}_laws.log",
    group:
        "analysis"
    conda:
        "../../environment.yml"
    params:
        captions=lambda wildcards, output: captions(Path(output.figures)),
    shell:
        "python -m workflow.laws {input.measurements} --output {output.laws} --figures {output.figures} 2>&1 | tee {log}"
