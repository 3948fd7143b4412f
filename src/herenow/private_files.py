"""Files that nobody but their owner reads."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def make_private(path: Path) -> None:
    """Make an empty file at *path*, with mode 0600, unless there is one; raises OSError.

    One that is there is not opened: closing any descriptor of a file gives up the locks that a
    process has on it, and SQLite's are such.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
