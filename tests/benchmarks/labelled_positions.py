"""What it saves to run the head at labelled positions only: a training step's head and loss, both ways, in turn.

    python -m tests.benchmarks.labelled_positions --vocabulary 8192 --length 64 --pairs 4

Prints the median seconds of each way and their ratio; the gradients of both ways are compared first.
"""

import argparse
import statistics
import time

import torch
from torch.nn import functional as F

from tasks.memory.recall import Recall
from tasks.task import IGNORE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = Recall(
        name="recall",
        length=arguments.length,
        vocabulary=arguments.vocabulary,
        pairs=arguments.pairs,
        fillers=1,
        power=0.01,
    )
    targets_BT = task.batch("train", 0, arguments.batch).targets_BT
    features_BTW = torch.randn(*targets_BT.shape, arguments.width)
    head = torch.nn.Linear(arguments.width, task.vocabulary_size, bias=False)

    def everywhere() -> torch.Tensor:
        return F.cross_entropy(head(features_BTW).flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORE)

    def gathered() -> torch.Tensor:
        labelled_BT = targets_BT != IGNORE
        return F.cross_entropy(head(features_BTW[labelled_BT]), targets_BT[labelled_BT])

    (one,), (other,) = (torch.autograd.grad(way(), head.weight) for way in (everywhere, gathered))
    torch.testing.assert_close(one, other)
    seconds = {everywhere: [], gathered: []}
    for _ in range(arguments.rounds):
        for way, samples in seconds.items():
            started = time.perf_counter()
            torch.autograd.grad(way(), head.weight)
            samples.append(time.perf_counter() - started)
    slow, fast = (statistics.median(samples) for samples in seconds.values())
    print(f"everywhere {slow * 1e3:.2f} ms, labelled positions {fast * 1e3:.2f} ms, ratio {slow / fast:.1f}")


if __name__ == "__main__":
    main()
