"""SIGTERM, as a scheduler sends before it takes a machine away: work stops where it can be continued, and says so."""

import signal
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM

_asked = False


class Interrupted(Exception):
    """The process was asked to stop. What it was doing has been saved where the one who caught it says so."""


def listen() -> None:
    """Makes SIGTERM a question that `check` answers, instead of an end at any moment."""
    signal.signal(signal.SIGTERM, _ask)


def asked() -> bool:
    """Returns whether the process was asked to stop."""
    return _asked


def check() -> None:
    """Raises Interrupted if the process was asked to stop."""
    if _asked:
        raise Interrupted


def _ask(_: int, __: FrameType | None) -> None:
    global _asked
    _asked = True
