"""A SLURM of one node, this machine, from Debian's packages: its own key, ports and folder, without systemd, for tests.

Daemons run as root. Commands find it by SLURM_CONF; as Snakemake takes that out of a job's environment before it calls
srun, an `srun` that puts it back comes first on PATH.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from workflow.files import write

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
_DAEMONS = ("slurmd", "slurmctld", "munged")
_READY_SECONDS = 30.0
_NULL_DEVICE = os.makedev(1, 3)  # as good as a GPU to who only hands it out


def missing() -> str:
    """Returns why there can be no SLURM here, nothing where there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found: apt-get install munge slurmctld slurmd slurm-client"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed: it is in tests/requirements.lock"
    return "" if os.geteuid() == 0 else "SLURM's daemons want root here"


class Slurm:
    """A controller and a node with so many cores and pretended GPUs; `environment` is for whoever calls its commands."""

    def __init__(self, folder: Path, *, cores: int, gpus: int):
        self._folder = folder
        for name in ("bin", "state", "spool", "log", "run", "gpus"):
            (folder / name).mkdir(parents=True)
        for index in range(gpus):
            os.mknod(folder / f"gpus/nvidia{index}", 0o20666, _NULL_DEVICE)
        host = socket.gethostname().split(".")[0]
        pretended = f"NodeName={host} Name=gpu File={folder}/gpus/nvidia[0-{gpus - 1}] Flags=nvidia_gpu_env"
        write(folder / "gres.conf", f"AutoDetect=off\n{pretended}\n")
        write(folder / "slurm.conf", self._configuration(host, cores=cores, gpus=gpus))
        srun = folder / "bin/srun"
        write(srun, f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        path = f"{folder}/bin:{os.environ['PATH']}"
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def _configuration(self, host: str, *, cores: int, gpus: int) -> str:
        """Returns slurm.conf: nothing is bound, contained or accounted, which a machine without cgroups could not."""
        folder = self._folder
        control, node = _free_port(), _free_port()
        settings = {
            "ClusterName": "tests",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={folder}/run/munge.socket",
            "CredType": "cred/munge",
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
            "SlurmctldPort": control,
            "SlurmdPort": node,
            "MpiDefault": "none",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
            "JobCompType": "jobcomp/none",
            "SwitchType": "switch/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "sched_interval=2,batch_sched_delay=0,bf_interval=2",
            "GresTypes": "gpu",
            "ReturnToService": 2,
            "SlurmdParameters": "config_overrides",
            "KillWait": 30,  # seconds from SIGTERM to SIGKILL
            "StateSaveLocation": folder / "state",
            "SlurmdSpoolDir": folder / "spool",
            "SlurmctldPidFile": folder / "run/slurmctld.pid",
            "SlurmdPidFile": folder / "run/slurmd.pid",
            "SlurmctldLogFile": folder / "log/slurmctld.log",
            "SlurmdLogFile": folder / "log/slurmd.log",
        }
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - 512
        node_line = f"NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN"
        lines = [*(f"{name}={value}" for name, value in settings.items()), node_line]
        return "\n".join([*lines, f"PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP", ""])

    def __enter__(self) -> "Slurm":
        folder = self._folder
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        folder.chmod(0o755)
        munge = [f"--key-file={key}", f"--socket={folder}/run/munge.socket", f"--pid-file={folder}/run/munged.pid"]
        munge += [f"--log-file={folder}/log/munged.log", f"--seed-file={folder}/run/munged.seed"]
        try:
            self.call("munged", "--force", *munge)
            self.call("slurmctld", "-i", "-f", str(folder / "slurm.conf"))
            self.call("slurmd", "-f", str(folder / "slurm.conf"))
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while self.call("sinfo", "-h", "-o", "%T", check=False).strip() not in ("idle", "mixed"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"SLURM is not ready: see {self._folder}/log")
            time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.call("scancel", "--user=root", "--full", "--signal=KILL", check=False)
        for name in _DAEMONS:
            path = self._folder / f"run/{name}.pid"
            if path.exists():
                try:
                    os.kill(int(path.read_text()), signal.SIGTERM)
                except ProcessLookupError:
                    continue

    def call(self, *command: str, check: bool = True) -> str:
        """Returns what a command prints; CalledProcessError if it fails and that is not expected."""
        told = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=check, timeout=60)
        return told.stdout


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
