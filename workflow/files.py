"""Files that are whole or not there."""

import os
import socket
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replaces `path` by `text` at once: a reader, and a crash, see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
