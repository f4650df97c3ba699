"""One writer per folder, also where machines share it and the network or a process hangs: leases that are renewed, or run out.

The holder of a folder is who made the last of its files `.lease.<number>`; to make one is exclusive on every file system.
A lease is renewed by a line in it that changes. Who waits takes the next number

* at once, when the holder let go, or died on this machine, of which the kernel tells by the file's `flock`;
* else when it has seen no change for as long as `EXPIRY`, by its own clock: those of the machines need not agree.

Who held too long without renewing, as a process that was stopped, learns of it by `check` before it writes.
"""

import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from workflow import interruption

RENEWAL, EXPIRY = 10.0, 120.0  # seconds from one renewal to the next; without one before others may take the folder
VISIBLE = 60.0  # seconds until a file that another machine has written is seen here
NAME = ".lease."

_WAIT = (0.05, 2.0)  # seconds between looks at a lease of another, at first and in the end
_WIDTH = 512  # a lease is written over in place, so that a reader finds one line or the other


class LostLease(RuntimeError):
    """Another process took the folder over, as this one did not renew its lease in time."""


class Said(NamedTuple):
    """What a lease says: who holds it, on what machine, how often it was renewed, and of one let go whether work was left."""

    holder: str
    machine: str
    renewed: int = 0
    released: bool = False
    done: bool = False


class _Lease(NamedTuple):
    number: int
    file: int


class Leases:
    """The leases of this process, renewed by a thread as long as the `with` lasts, and then let go.

    OSError if no thread can be started.
    """

    def __init__(self, *, renewal: float = RENEWAL, expiry: float = EXPIRY):
        self._renewal, self._expiry = renewal, expiry
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._held: dict[Path, _Lease] = {}
        self._renewed = 0
        self._changing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)

    def __enter__(self) -> "Leases":
        try:
            self._thread.start()
        except RuntimeError as error:  # which is all that Python says of it
            raise OSError(
                errno.ENOMEM, "no memory, or no process, is left for the thread that renews its lease"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for folder in list(self._held):
            self.let_go(folder)

    def take(self, folder: Path) -> bool:
        """Waits until the folder is this process's; returns whether another machine says that it left its work done there.

        Raises interruption.Interrupted when the process is asked to stop meanwhile.
        """
        seen, since, told = None, time.monotonic(), False
        pause, longest = _WAIT
        while True:
            number, said = _last(folder)
            if (number, said) != seen:
                seen, since = (number, said), time.monotonic()
            expired = time.monotonic() - since > self._expiry
            if number == 0 or (said and said.released) or expired or _died(folder, number, said):
                if self._make(folder, number + 1):
                    return said is not None and said.done and said.machine != machine()
                continue
            if not told:
                told = True
                holder = said.holder if said else "another process"
                print(f"{folder} is held by {holder}: waiting until it is done", file=sys.stderr, flush=True)
            interruption.check()
            time.sleep(pause)
            pause = min(1.5 * pause, longest)

    def check(self, folder: Path) -> None:
        """Raises LostLease if another process has taken the folder."""
        with self._changing:
            mine = self._held.get(folder)
        number, said = _last(folder)
        if mine is None or number != mine.number:
            by = f" by {said.holder}" if said else ""
            raise LostLease(
                f"{folder} was taken over{by}: this process had not said for {self._expiry:.0f} s that it lives"
            )

    def let_go(self, folder: Path, *, done: bool = False) -> None:
        """Leaves the folder to others, and tells them whether its work is done; nothing if it is held no more."""
        with self._changing:
            mine = self._held.pop(folder, None)
        if mine is not None:
            with suppress(OSError):  # a disk that is full or gone: the lease runs out
                _write(mine.file, self._said()._replace(released=True, done=done))
            os.close(mine.file)

    def _said(self) -> Said:
        return Said(self._holder, machine(), self._renewed)

    def _make(self, folder: Path, number: int) -> bool:
        """Returns whether this process was the one that made the lease of the number."""
        path = folder / f"{NAME}{number}"
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        except FileExistsError:
            return False
        with suppress(OSError):  # where a file system has no locks, a lease that is not renewed runs out
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            _write(file, self._said())  # only now does it name a machine: its lock is there
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        numbers = _numbers(folder)
        if numbers[-1] > number:  # who made the next one had deleted this one, which was free to be made again
            os.close(file)
            path.unlink(missing_ok=True)
            return False
        with self._changing:
            self._held[folder] = _Lease(number, file)
        for past in numbers[:-1]:
            (folder / f"{NAME}{past}").unlink(missing_ok=True)
        return True

    def _renew(self) -> None:
        while not self._over.wait(self._renewal):
            with self._changing:
                self._renewed += 1
                for mine in self._held.values():
                    with suppress(OSError):
                        _write(mine.file, self._said())


def visible(path: Path, *, wait: float = VISIBLE, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Returns whether a file that another machine says it has left is seen here, after waiting for it for so many seconds."""
    deadline = time.monotonic() + wait
    while path.name not in os.listdir(path.parent):
        if time.monotonic() > deadline:
            return False
        sleep(0.2)
    return True


def machine() -> str:
    """Returns what is the same for processes that see each other's locks: a boot of a machine, and its view of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def _numbers(folder: Path) -> list[int]:
    found = [name.removeprefix(NAME) for name in os.listdir(folder) if name.startswith(NAME)]
    return sorted(int(number) for number in found if number.isdecimal())


def _last(folder: Path) -> tuple[int, Said | None]:
    """Returns the number of the last lease, 0 if there is none, and what it says, if it can be read just now."""
    number = max(_numbers(folder), default=0)
    try:
        return number, Said(**json.loads((folder / f"{NAME}{number}").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # there is none, it is being made, or a later one took its place
        return number, None


def _died(folder: Path, number: int, said: Said | None) -> bool:
    """Returns whether the holder was a process of this machine that is no more."""
    if said is None or said.machine != machine():
        return False
    try:
        with (folder / f"{NAME}{number}").open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it lives, or nothing can be known of locks here
        return False
    return True


def _write(file: int, said: Said) -> None:
    os.pwrite(file, json.dumps(said._asdict()).ljust(_WIDTH - 1).encode() + b"\n", 0)
    os.fsync(file)
