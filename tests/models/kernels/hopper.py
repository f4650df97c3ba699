"""Compiles Triton kernels for Hopper (sm_90) ahead of time, on a machine without a GPU.

`compiled` runs a function in a process of its own, on CPU tensors that say they are on a GPU, under a driver that
compiles every kernel the function launches and executes none. What the function computes is therefore meaningless.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]
SHARED_BYTES = 227 * 1024  # what one block may use of a Hopper multiprocessor's shared memory


class CompiledKernel(NamedTuple):
    name: str
    warps: int
    shared_bytes: int
    registers: int  # of one thread
    stack_bytes: int  # of one thread; spilled registers lie here


def compiled(function: Callable[..., None], *arguments: str | int) -> list[CompiledKernel]:
    """Returns every kernel that `function(*arguments)`, a module's own function, launches, as compiled for sm_90."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", __name__, function.__module__, function.__name__]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.json"
        ran = subprocess.run(
            [*command, str(path), json.dumps(arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return [CompiledKernel(*row) for row in json.loads(path.read_text(encoding="utf-8"))]


def assert_fits(kernels: list[CompiledKernel]) -> None:
    """Some kernel was compiled, and none asks for more shared memory than Hopper has."""
    assert kernels
    for kernel in kernels:
        assert kernel.shared_bytes <= SHARED_BYTES, kernel


def usage(kernel: Any) -> CompiledKernel:
    """Returns what a compiled kernel needs, read off its machine code."""
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(kernel.asm["cubin"])
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(path)]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", report)
    assert found, report
    registers, stack_bytes = map(int, found.groups())
    return CompiledKernel(
        kernel.metadata.name, kernel.metadata.num_warps, kernel.metadata.shared, registers, stack_bytes
    )


def record_compilations() -> list[Any]:
    """Makes Triton compile for sm_90 instead of launching; returns the list that the compiled kernels will go to."""
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    class Hopper:
        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", 90, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

    kernels, run = [], JITFunction.run

    def compile_only(function: JITFunction, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernels.append(run(function, *arguments, grid=grid, warmup=True, **options))
        return kernels[-1]

    def compile_first(tuner: Autotuner, *arguments: Any, **options: Any) -> Any:
        return tuner.fn.run(*arguments, **options, **tuner.configs[0].all_kwargs())

    driver.set_active(Hopper())
    JITFunction.run, Autotuner.run = compile_only, compile_first
    torch.Tensor.is_cuda = property(lambda tensor: True)
    return kernels


def main(module: str, function: str, path: str, arguments: str) -> None:
    kernels = record_compilations()
    getattr(importlib.import_module(module), function)(*json.loads(arguments))
    by_hash = {kernel.hash: kernel for kernel in kernels}
    Path(path).write_text(json.dumps([usage(kernel) for kernel in by_hash.values()]), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
