"""A function in a process of its own, so that one point can run out of memory or time without taking the others along."""

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch

from models.mixer import UnsupportedKernel
from workflow.results import Status


class Answer(NamedTuple):
    """What came of the call: `value` is what the function returned where `status` is finished."""

    status: Status
    detail: str
    value: Any


# Imports torch once, with the part that optimizers load late, in a server that never runs anything, and forks from there.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["workflow.profiling.sampling", "torch._dynamo"])


def in_process(function: Callable[..., Any], *arguments: Any, timeout_seconds: float) -> Answer:
    """Returns what `function(*arguments)` returns in a fresh process; RuntimeError, with its traceback, if it raises.

    Running out of memory, by exception or by the system's killing the process, and out of time are answers, not errors.
    """
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(timeout_seconds) else None
    except EOFError:
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the measuring process ended with exit code {process.exitcode}") from None
        return Answer("out_of_memory", "the system killed the process", None)
    finally:
        process.kill()
        process.join()
    if answer is None:
        return Answer("timed_out", f"more than {timeout_seconds:g} s", None)
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def attempt(function: Callable[..., Any], *arguments: Any) -> Answer:
    """Returns what `function(*arguments)` returns in this process.

    Running out of memory, and a fused kernel that cannot run here, are answers, not errors.
    """
    try:
        return Answer("finished", "", function(*arguments))
    except UnsupportedKernel as error:
        return Answer("unsupported", str(error), None)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return Answer("out_of_memory", str(error).split("\n")[0], None)


def lacks_memory(error: Exception) -> bool:
    """Returns whether an exception says that memory has run out, of Python, of a device, of torch's CPU allocator or oneDNN."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    told = str(error)
    return "can't allocate memory" in told or told in ("std::bad_alloc", "could not create a primitive")


def _answer(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Sends the answer, or the traceback of what went wrong."""
    try:
        pipe.send(attempt(function, *arguments))
    except BaseException:
        pipe.send(traceback.format_exc())
        raise
