"""How a run becomes a number in the report. The modules, in the order a run passes them, are listed in the README."""
