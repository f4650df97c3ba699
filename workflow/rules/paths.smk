# Where the rules find things.

from workflow.laws import sizes_vary


def run_folders(ids):
    return [f"{RESULTS}/runs/{id}" for id in ids]


def code(*modules):
    return [str(Path(workflow.basedir, "workflow", module)) for module in modules]


def profiles(experiment):
    runs = [planned.run for planned in PLANS[experiment].runs]
    return any(run.kind == "profiling" and run.phase != "stream" for run in runs)


def scaling(experiment):
    """What is told of cost over length, where an experiment profiles."""
    folder = f"{RESULTS}/{SCALE}/{experiment}"
    tables = {"scaling": f"{folder}/scaling.csv", "crossovers": f"{folder}/crossovers.csv"}
    return tables if profiles(experiment) else {}


def package(folder):
    return sorted(str(path) for path in Path(workflow.basedir, "workflow", folder).glob("*.py"))


def controls(experiment):
    """What is told of the controls, where an experiment trains."""
    trains = any(planned.run.kind == "training" for planned in PLANS[experiment].runs)
    return [f"{RESULTS}/{SCALE}/{experiment}/controls.csv"] if trains else []


def laws(experiment):
    """What is told of the loss over parameters, tokens and compute, where an experiment varies them."""
    return [f"{RESULTS}/{SCALE}/{experiment}/laws.csv"] if sizes_vary(PLANS[experiment].varied) else []
