"""Secrets from files and from systemd credentials; never from the command line, which any user can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "credential:"
"""Begins the name of a systemd credential, where a path is expected."""
_MAX_BYTES: Final = 64 << 10


def credential_path(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of a file, or of the systemd credential that ``credential:NAME`` names.

    Raises:
        UsageError: there are no credentials here, or the name is none.
    """
    if not name.startswith(PREFIX):
        return Path(name)
    folder, word = environment.get("CREDENTIALS_DIRECTORY", ""), name.removeprefix(PREFIX)
    if not folder:
        raise UsageError(
            f"{name}: this process has no systemd credentials; see LoadCredential= in systemd.exec(5)"
        )
    if not word or "/" in word or word in {".", ".."}:
        raise UsageError(f"{name}: not a name of a credential")
    return Path(folder) / word


class Secret:
    """A secret of one line in a file, read again when it is needed, so that it can be replaced.

    Args:
        path: of the file, which no other user may read.

    Raises:
        UsageError: it cannot be read, other users can read it, or it is no line of text.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = self._read()

    def value(self) -> str:
        """Return the secret; the last one while the file cannot be read."""
        try:
            self._value = self._read()
        except UsageError:  # replaced at this moment, or readable at the start only
            return self._value
        return self._value

    def _read(self) -> str:
        require_private(self._path)
        try:
            content = self._path.read_bytes()[:_MAX_BYTES]
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from None
        try:
            value = content.decode("ascii").strip()
        except UnicodeDecodeError:
            value = ""
        if not value or not value.isprintable():
            raise UsageError(f"{self._path}: expected one line of ASCII text")
        return value


def require_private(path: Path) -> None:
    """Raise when a file is no regular file, or others than its owner and group may read it.

    Raises:
        UsageError: it is not private.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path}: not a regular file")
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UsageError(f"{path}: any user may read this secret; run chmod 600 {path}")
