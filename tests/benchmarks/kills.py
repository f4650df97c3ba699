"""Whether anything is lost when training is killed: SIGKILL at random moments of a cohort, again and again until it is done.

    python -m tests.benchmarks.kills --kills 100

Four runs, some of which stop early, are trained undisturbed, in turn and stacked; then in processes that are killed at moments
uniform over the time that took, and started again. Checkpoints are due at every step, now and then, or never: so kills fall
into the writing of them, and into work that has none. Prints the kills and the number of distinct measurements, which is 1.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.cohorts import begun, cohort, digest, members
from workflow.runs import TrainingRun
from workflow.training.choice import Policy

BETWEEN_SECONDS = (0.0, 0.2, 3600.0)  # checkpoints of the cohorts, in turn
_LONGER = 1.2  # than undisturbed: the last of the moments at which a process may be killed, so that some get through


class Undisturbed(NamedTuple):
    """What a cohort measures when nothing happens to it, and how long its process takes."""

    told: str
    seconds: float


def undisturbed(runs: list[TrainingRun], *, policy: Policy, between_seconds: float) -> Undisturbed:
    """Trains the cohort in a process that nobody touches; RuntimeError if it fails all the same."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = cohort(Path(scratch), runs)
        started = time.monotonic()
        process = begun(folders, policy=policy, between_seconds=between_seconds)
        process.join()
        if process.exitcode:
            raise RuntimeError(f"an undisturbed cohort ended with exit code {process.exitcode}")
        return Undisturbed(digest(folders), time.monotonic() - started)


def disturbed(
    runs: list[TrainingRun], *, policy: Policy, between_seconds: float, moments: list[float]
) -> tuple[str, int]:
    """Returns the digest of a cohort whose processes are killed at these seconds of theirs, and how many were in time.

    Once no moment is left, or a process was through before its moment, the cohort is done.
    """
    kills = 0
    with tempfile.TemporaryDirectory() as scratch:
        folders = cohort(Path(scratch), runs)
        for moment in [*moments, None]:
            process = begun(folders, policy=policy, between_seconds=between_seconds)
            process.join(moment)
            alive = process.exitcode is None
            process.kill()
            process.join()
            kills += process.exitcode == -9
            if not alive and process.exitcode == 0:
                return digest(folders), kills
            if process.exitcode not in (0, -9):
                raise RuntimeError(f"a cohort that was continued ended with exit code {process.exitcode}")
        return digest(folders), kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="of all policies together, at least")
    parser.add_argument("--policy", choices=("never", "always"), nargs="*", default=["never", "always"])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rng, runs = random.Random(arguments.seed), members({"optimizer.steps": arguments.steps})
    started, share, worst = time.monotonic(), -(-arguments.kills // len(arguments.policy)), 1
    for policy in arguments.policy:
        found = [undisturbed(runs, policy=policy, between_seconds=between) for between in BETWEEN_SECONDS]
        told, kills, cohorts = [one.told for one in found], 0, 0
        while kills < share:
            which = cohorts % len(BETWEEN_SECONDS)
            longest = _LONGER * found[which].seconds
            moments = [rng.uniform(0, longest) for _ in range(share - kills)]
            one, of_it = disturbed(runs, policy=policy, between_seconds=BETWEEN_SECONDS[which], moments=moments)
            told.append(one)
            kills, cohorts = kills + of_it, cohorts + 1
            if one != told[0]:
                print(f"{policy}: cohort {cohorts}, checkpoints {BETWEEN_SECONDS[which]} s apart: differs", flush=True)
        distinct, wrong = len(set(told)), sum(one != told[0] for one in told)
        worst = max(worst, distinct)
        seconds = statistics.median(one.seconds for one in found)
        print(f"stack {policy}: {kills} kills in {cohorts} cohorts of {len(runs)} runs, {seconds:.1f} s undisturbed,")
        print(
            f"  {distinct} distinct digests, {wrong} cohorts that differ, ratio {distinct:.1f} to the one there may be"
        )
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(worst > 1)


if __name__ == "__main__":
    main()
