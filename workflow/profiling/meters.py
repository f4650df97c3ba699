"""What a device can do at most, and what state it is in while something is timed: energy, clock, temperature, load.

What a machine does not tell is absent, never zero.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from workflow.runs import Precision

Readings = dict[str, tuple[float, str]]  # value and unit, by name

_RAPL = Path("/sys/class/powercap")
_STAT = Path("/proc/stat")
_CPUINFO = Path("/proc/cpuinfo")
_HWMON = Path("/sys/class/thermal")
_PACKAGE = "intel-rapl:?"  # also on AMD; the parts of a package have a colon more
_ROUNDS = 5


def ceilings(on: torch.device, precision: Precision) -> Readings:
    """Returns the most that was seen of matrix products, in FLOP/s of this precision, and of copies, in bytes per second.

    A copy of n bytes counts as 2 n: it reads and writes.
    """
    cuda = on.type == "cuda"
    size, copied = (8192, 2**30) if cuda else (768, 2**26)
    with torch.inference_mode():
        a = torch.randn(size, size, device=on, dtype=getattr(torch, precision))
        product = torch.empty_like(a)
        source = torch.zeros(copied, dtype=torch.uint8, device=on)
        target = torch.zeros_like(source)
        matrix_seconds = _least(lambda: torch.mm(a, a, out=product), on=on)
        copy_seconds = _least(lambda: target.copy_(source), on=on)
    return {
        "ceiling_flops": (2 * size**3 / matrix_seconds, "FLOP/s"),
        "ceiling_bytes": (2 * copied / copy_seconds, "B/s"),
    }


def _least(call: Callable[[], Any], *, on: torch.device) -> float:
    seconds = []
    for _ in range(_ROUNDS + 1):
        started = time.perf_counter()
        call()
        finish(on)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def finish(on: torch.device) -> None:
    """Waits for what was asked of the device."""
    if on.type == "cuda":
        torch.cuda.synchronize(on)


@contextmanager
def watched(on: torch.device) -> Iterator[Readings]:
    """Fills the readings when what is watched is over.

    `joules`: of the whole device, CUDA's or the CPU's packages. `clock` and `temperature`: at its end. `busy`: the share of
    this machine's processors that others had meanwhile; on CUDA also `others`, how many processes beside this one use it.
    """
    readings: Readings = {}
    joules, (work, mine), started = _joules(on), _processor_seconds(), time.monotonic()
    yield readings
    elapsed = time.monotonic() - started
    spent, (work_then, mine_then) = _joules(on), _processor_seconds()
    if joules is not None and spent is not None and spent > joules:  # a counter may wrap round
        readings["joules"] = (spent - joules, "J")
    if work is not None and work_then is not None and elapsed > 0.02:  # its unit is a hundredth of a second
        others = (work_then - work) - (mine_then - mine)
        readings["busy"] = (min(1.0, max(0.0, others / elapsed / (os.cpu_count() or 1))), "fraction")
    readings |= _cuda(on) if on.type == "cuda" else _cpu()


def _processor_seconds() -> tuple[float | None, float]:
    """Returns the seconds that all processors have worked since the machine started, and this process of them."""
    mine = sum(os.times()[:2])
    if not _STAT.exists():
        return None, mine
    user, nice, system, _, _, irq, softirq, *_ = map(int, _STAT.read_text(encoding="ascii").split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK"), mine


def _joules(on: torch.device) -> float | None:
    """Returns a counter of energy, of which differences count."""
    if on.type == "cuda":
        return None if (device := _nvml(on)) is None else _asked(device, "nvmlDeviceGetTotalEnergyConsumption", 1e-3)
    found = [_number(path / "energy_uj") for path in sorted(_RAPL.glob(_PACKAGE))]
    return None if not found or None in found else sum(found) * 1e-6


def _cuda(on: torch.device) -> Readings:
    device = _nvml(on)
    if device is None:
        return {}
    import pynvml

    found = {
        "clock": (_asked(device, "nvmlDeviceGetClockInfo", 1e6, pynvml.NVML_CLOCK_SM), "Hz"),
        "temperature": (_asked(device, "nvmlDeviceGetTemperature", 1.0, pynvml.NVML_TEMPERATURE_GPU), "°C"),
    }
    with suppress(pynvml.NVMLError):
        found["others"] = (float(len(pynvml.nvmlDeviceGetComputeRunningProcesses(device)) - 1), "process")
    return {name: (value, unit) for name, (value, unit) in found.items() if value is not None}


def _nvml(on: torch.device) -> Any:
    """Returns NVML's name of the device, None where its package (nvidia-ml-py) or the driver is missing."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(on).uuid}")
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None


def _asked(device: Any, question: str, factor: float, *more: int) -> float | None:
    import pynvml

    try:
        return factor * getattr(pynvml, question)(device, *more)
    except pynvml.NVMLError:
        return None


def _cpu() -> Readings:
    readings: Readings = {}
    if _CPUINFO.exists():
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
        clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        if clocks:
            readings["clock"] = (1e6 * max(clocks), "Hz")
    hottest = [value for path in _HWMON.glob("thermal_zone*/temp") if (value := _number(path)) is not None]
    if hottest:
        readings["temperature"] = (max(hottest) / 1000, "°C")
    return readings


def _number(path: Path) -> float | None:
    """Returns the number in a file of the system, None where there is none or it may not be read."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
