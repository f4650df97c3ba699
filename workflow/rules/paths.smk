# Where the rules find things.


def run_folders(ids):
    return [f"{RESULTS}/runs/{id}" for id in ids]


def code(*modules):
    return [str(Path(workflow.basedir, "workflow", module)) for module in modules]
