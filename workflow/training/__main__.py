"""The command `python -m workflow.training`."""

import os
from functools import partial
from pathlib import Path

from workflow.processes import SHARD, processes
from workflow.progress import Progress
from workflow.runs import TrainingRun
from workflow.serving import parser, work
from workflow.training.cohort import execute

if __name__ == "__main__":
    asked = parser(TrainingRun)
    asked.add_argument(
        "--stack",
        choices=("auto", "always", "never"),
        default="auto",
        help="train runs that differ in learning rate and seed as one program (auto: where that is measured to be faster)",
    )
    asked.add_argument(
        "--curves", action="store_true", help="leave what every evaluation finds in curve.csv beside run.json"
    )
    asked.add_argument("--tensorboard", type=Path, help="folder for TensorBoard's event files, one folder a run")
    asked.add_argument(
        "--shard", action="store_true", help="split the weights over the processes that torchrun starts (FSDP2)"
    )
    arguments = asked.parse_args()
    if arguments.shard:
        os.environ[SHARD] = "1"
        if not processes().sharded:
            asked.exit(1, "error: --shard splits weights over several processes: start them with torchrun\n")
    progress = Progress(
        arguments.watch, total=len(arguments.folders), curves=arguments.curves, tensorboard=arguments.tensorboard
    )
    work(arguments.folders, kind=TrainingRun, execute=partial(execute, policy=arguments.stack), progress=progress)
