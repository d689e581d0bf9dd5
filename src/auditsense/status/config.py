"""Settings of the status socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditsense._frozen import Frozen
from auditsense.errors import UsageError
from auditsense.status import SOCKET_PATH

DEFAULT_SOCKET: Final = Path(SOCKET_PATH)
OFF: Final = "off"
_LONGEST: Final = 107  # bytes: sun_path of unix(7), less the NUL


@dataclass(slots=True, eq=False, repr=False)
class StatusSettings(Frozen):
    """The table `[status]`.

    Attributes:
        socket: an absolute path of at most 107 bytes; None: no socket.
    """

    socket: Path | None = DEFAULT_SOCKET

    @classmethod
    def of(cls, socket: str | None = None) -> StatusSettings:
        """Make settings from plain values.

        Args:
            socket: a path; "off": none; None: the default.

        Raises:
            UsageError: not a path for a socket.
        """
        if socket is None:
            return cls()
        if socket == OFF:
            return cls(None)
        path = Path(socket)
        if (
            not path.is_absolute()
            or "\0" in socket
            or len(socket.encode(errors="surrogateescape")) > _LONGEST
        ):
            raise UsageError(
                f"the status socket {socket!r} must be an absolute path of at most {_LONGEST} bytes, or {OFF}"
            )
        return cls(path)
