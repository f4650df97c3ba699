# Where the rules find things.


def run_folders(ids):
    return [f"{RESULTS}/runs/{id}" for id in ids]


def code(*modules):
    return [str(Path(ROOT, "workflow", module)) for module in modules]


def scaling(experiment):
    """What is told of cost over length, where an experiment profiles."""
    folder = f"{RESULTS}/{SCALE}/{experiment}"
    tables = {"scaling": f"{folder}/scaling.csv", "crossovers": f"{folder}/crossovers.csv"}
    return tables if BLUEPRINT.experiments[experiment].follows_cost else {}


def package(folder):
    return sorted(str(path) for path in Path(ROOT, "workflow", folder).glob("*.py"))


def controls(experiment):
    """What is told of the controls, where an experiment trains."""
    return [f"{RESULTS}/{SCALE}/{experiment}/controls.csv"] if BLUEPRINT.experiments[experiment].trains else []


def laws(experiment):
    """What is told of the loss over parameters, tokens and compute, where an experiment varies them."""
    return [f"{RESULTS}/{SCALE}/{experiment}/laws.csv"] if BLUEPRINT.experiments[experiment].has_laws else []
