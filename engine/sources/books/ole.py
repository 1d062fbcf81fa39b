"""The container of the old Office, in which a workbook of the new kind lies too where it has a password."""

from typing import Final

from engine.sources.original import Original

_MARK: Final = "EncryptedPackage".encode("utf-16-le")
"""The name of the stream that holds the encrypted workbook, in the container's directory."""
_CHUNK: Final = 1024 * 1024


def is_behind_a_password(original: Original) -> bool:
    """Whether the container holds an encrypted workbook. Raises `InputRefused` when it cannot be read."""
    before = b""
    with original.open() as file:
        while chunk := file.read(_CHUNK):
            if _MARK in before + chunk:
                return True
            before = chunk[-len(_MARK) :]
    return False
