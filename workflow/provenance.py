"""Where, and with what, a result was made."""

import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from workflow.claims.files import standing
from workflow.processes import processes

_ROOT = Path(__file__).parent.parent


class Provenance(BaseModel):
    """What cannot be part of a specification but may move a number.

    `seconds` is the wall time the run took: its share, where `company` runs were trained as one program. `processes` is how
    many trained it together, and `sharded` whether its weights were split over them. `claims` is the digest of
    what was claimed when it was made (`workflow.claims.files`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    commit: str
    machine: str
    processor: str
    cores: int
    memory_bytes: int
    device: str
    driver: str
    threads: int
    system: str
    python: str
    torch: str
    numpy: str
    lock: str
    seconds: float
    resumed: int
    company: int
    processes: int
    sharded: bool
    claims: str


def device() -> torch.device:
    """Returns the device of this process: its CUDA device, the first but for `torchrun`, where there is one, else the CPU."""
    return torch.device("cuda", processes().local_rank) if torch.cuda.is_available() else torch.device("cpu")


def provenance(*, seconds: float, resumed: int, company: int) -> Provenance:
    """Returns the provenance of a result of this process, made in `seconds`, with `resumed` restarts from a checkpoint."""
    mine = processes()
    cuda = device().type == "cuda"
    return Provenance(
        commit=_commit(),
        machine=hashlib.sha256(platform.node().encode()).hexdigest()[:8],
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        device=torch.cuda.get_device_name() if cuda else "cpu",
        driver=f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if cuda else "",
        threads=torch.get_num_threads(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=version("numpy"),
        lock=hashlib.sha256((_ROOT / "requirements.lock").read_bytes()).hexdigest()[:12],
        seconds=round(seconds, 3),
        resumed=resumed,
        company=company,
        processes=mine.count,
        sharded=mine.sharded,
        claims=standing(),
    )


@functools.cache
def _commit() -> str:
    """Returns the commit of the checkout, with a plus where tracked files differ from it.

    Where there is no checkout, as in a container, the file COMMIT says it; empty where there is none either.
    """
    try:
        told = subprocess.run(
            ["git", "-C", str(_ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        written = _ROOT / "COMMIT"
        return written.read_text(encoding="utf-8").strip() if written.exists() else ""
    return told.stdout.strip()


@functools.cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
