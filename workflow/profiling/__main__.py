"""The command `python -m workflow.profiling`."""

from workflow.profiling.rounds import execute
from workflow.runs import ProfilingRun
from workflow.serving import main

if __name__ == "__main__":
    main(ProfilingRun, execute)
