"""As many whole runs of experiments as a budget of time holds, and the others another time. No Snakemake is needed.

    python -m workflow.sweep recall state-tracking --scale quick --budget 9m

The order makes a part of a sweep useful: references and profiles, tuning rung by rung, then one seed of every cell that is
confirmed, then the next; architectures take turns (`workflow.agenda`). A run that would not end in time is not started.
What runs when the time is over is asked to leave a checkpoint, from which the next sweep goes on.
"""

import argparse
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workflow.agenda import Agenda, Item, items_of
from workflow.entrants import entrants
from workflow.planfile import SCALES
from workflow.plans import plan, write_plan
from workflow.provenance import device
from workflow.results import read_result

_MODULES = {"training": "workflow.training", "profiling": "workflow.profiling", "reference": "workflow.references"}
_STOPPING_SECONDS = 30.0

Command = Callable[[list[Item]], list[str]]


def sweep(agenda: Agenda, *, runs: Path, command: Command, deadline: float) -> None:
    """Serves the runs until none may start, or until the deadline, on the monotonic clock; ValueError if a result is damaged."""
    _collect(agenda, agenda.items, runs=runs)
    processes: list[tuple[subprocess.Popen[bytes], list[Item]]] = []
    try:
        while time.monotonic() < deadline:
            for process, batch in [pair for pair in processes if pair[0].poll() is not None]:
                processes.remove((process, batch))
                _collect(agenda, batch, runs=runs)
                agenda.end(batch)
                if process.returncode:
                    lost = " ".join(str(runs / item.id) for item in batch if item.id not in agenda.done)
                    print(f"a process ended with code {process.returncode}, its message above: {lost}", file=sys.stderr)
            while batch := agenda.start(left=deadline - time.monotonic()):
                processes.append((subprocess.Popen(command(batch), start_new_session=True), batch))
            if not processes:
                return
            time.sleep(0.1)
    finally:
        _stop([process for process, _ in processes])
        _collect(agenda, agenda.items, runs=runs)


def _collect(agenda: Agenda, items: list[Item], *, runs: Path) -> None:
    """Tells the agenda what has a result. Only a whole run, on this kind of device, tells how long others take."""
    for item in items:
        path = runs / item.id / "result.json"
        if item.id in agenda.done or not path.exists():
            continue
        try:
            result = read_result(path)
        except ValueError:
            raise ValueError(f"{path} is damaged, delete it and sweep again") from None
        here = (result.provenance.device == "cpu") == (device().type == "cpu")
        told = here and result.status == "finished" and not result.provenance.resumed
        agenda.finish(item, seconds=result.provenance.seconds if told else None)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ends the processes, which may leave a checkpoint if they do so soon, and with them all that they started."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOPPING_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def seconds_of(text: str) -> float:
    """Returns the seconds that 90s, 9m or 2h are."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 9m or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def count_of(text: str) -> int:
    """Returns a number of one or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1, 2, 3, ...")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Execute as many runs of experiments as a budget of time holds.")
    parser.add_argument("experiments", nargs="+", help="names of experiments")
    parser.add_argument("--scale", choices=SCALES, default="quick")
    parser.add_argument("--budget", type=seconds_of, default=math.inf, help="as 90s, 9m or 2h; without it, all is run")
    parser.add_argument("--model", default="", help="a file with a mixer of your own, as one more entrant")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder of results")
    cores = 1 if device().type == "cuda" else os.cpu_count() or 1
    parser.add_argument("--jobs", type=count_of, default=cores, help="processes at a time: one a core, or one on CUDA")
    parser.add_argument("--seeds", type=count_of, default=1, help="seeds that each cell gets before any gets another")
    return parser.parse_args()


def _swept(agenda: Agenda, *, runs: Path, command: Command, deadline: float) -> int:
    """Returns the exit code of a sweep: 1 if a run failed, 130 if it was interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sweep(agenda, runs=runs, command=command, deadline=deadline)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 1 if agenda.failed else 0


def main() -> None:
    started = time.monotonic()
    arguments = _arguments()
    runs, home = arguments.results / "runs", arguments.results / arguments.scale

    def command(batch: list[Item]) -> list[str]:
        folders = [str(runs / item.id) for item in batch]
        return [sys.executable, "-m", _MODULES[batch[0].alike[-1]], "--watch", str(home), *folders]

    try:
        own = entrants(arguments.model) if arguments.model else ()
        plans = [plan(name, scale=arguments.scale, own=own) for name in arguments.experiments]
        for planned in plans:
            write_plan(planned, results=arguments.results)
        agenda = Agenda(items_of(plans, seeds=arguments.seeds), jobs=arguments.jobs)
        code = _swept(agenda, runs=runs, command=command, deadline=started + arguments.budget)
    except ValueError as error:
        sys.exit(f"error: {error}")
    undone = len(agenda.items) - len(agenda.done)
    told = f"{len(agenda.done)} of {len(agenda.items)} runs done"
    told += f", {len(agenda.failed)} failed or wait for one that did" if agenda.failed else ""
    print(f"{told}; go on with: {shlex.join(['python', '-m', 'workflow.sweep', *sys.argv[1:]])}" if undone else told)
    for planned in plans:
        here = home / planned.experiment
        table = f"{here}/plan.json --runs {runs} --output {here}/measurements.csv{' --partial' if undone else ''}"
        print(f"the table of {planned.experiment}: python -m workflow.measurements {table}")
    sys.exit(code)


if __name__ == "__main__":
    main()
