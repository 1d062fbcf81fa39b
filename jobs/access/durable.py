"""Bytes that are on the disk before something else is done.

A nearly full disk takes a part of what is written, and raises nothing until it is asked for the rest.
"""

import os
from contextlib import suppress
from pathlib import Path


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however little the disk takes at a time. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append_durably(descriptor: int, line: bytes) -> None:
    """Append a line and write it to the disk; one that cannot be written is taken out whole. Raises OSError."""
    end = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, line)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def keep_name(folder: Path) -> None:
    """Write the name of a new file to the disk; some file systems cannot. Raises OSError without the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
