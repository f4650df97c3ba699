"""How much memory a process needs."""

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MEMINFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def used_bytes(device: torch.device) -> int:
    """Returns the memory held now: by torch's allocator on CUDA, by the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _resident("VmRSS") if _STATUS.exists() else _peak_of_process()


def peak_bytes(device: torch.device) -> int:
    """Returns the most memory held since `forget_peak`: by torch's allocator on CUDA, by the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident("VmHWM") if _STATUS.exists() else _peak_of_process()


def forget_peak(device: torch.device) -> None:
    """Starts the peak anew at the memory held now. Off Linux a process's peak cannot be forgotten, and what led here counts."""
    _trim(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak resident set size


def release(device: torch.device) -> None:
    """Gives back what nobody uses any more, cycles of objects included."""
    gc.collect()
    _trim(device)


def _trim(device: torch.device) -> None:
    """Gives back what is held for later but by nobody now: by torch's allocator on CUDA, by glibc on a CPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def available_bytes(device: torch.device) -> int:
    """Returns the memory there is for a process: all of a CUDA device, or what the system and its control group leave."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = _MEMINFO.read_text(encoding="ascii").splitlines() if _MEMINFO.exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limits = [path.read_text(encoding="ascii").strip() for path in _LIMITS if path.exists()]
    return min([pages, *free, *(int(limit) for limit in limits if limit != "max")])


def _resident(field: str) -> int:
    """Returns a line of Linux's process status, which is in units of 1024 bytes."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _peak_of_process() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
