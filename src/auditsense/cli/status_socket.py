"""Status socket of `auditsense run`, which answers `auditsense status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from auditsense.cli import print_message
from auditsense.status.server import StatusServer, StatusSocketTakenError, discard
from auditsense.status.snapshot import Snapshot

if TYPE_CHECKING:
    from auditsense.sensor.sensor import Sensor
    from auditsense.status.config import StatusSettings
    from auditsense.status.snapshot import StatusContext


class StatusSocket:
    """Socket at which a sensor reports its state. A context manager, to be entered after the sensor.

    Create it before the source, whose guardian removes the socket after SIGKILL (`discard`). Enter it when
    there is a guardian and before privileges are dropped; then the socket's file is never left behind.

    Args:
        settings: path of the socket.

    Raises (on entering):
        StatusSocketError: there can be no socket at that path. If another sensor has it, this is only logged.
    """

    def __init__(self, settings: StatusSettings) -> None:
        self._server: StatusServer | None = None
        self._sensor: Sensor | None = None
        self.entered = False
        """Whether the socket is this sensor's."""
        if settings.socket is not None:
            self._server = StatusServer(settings.socket)

    @property
    def paths(self) -> list[str]:
        """The path of the socket, if there is one."""
        return [] if self._server is None else [str(self._server.path)]

    def check(self) -> None:
        """Raise as entering would; create nothing."""
        if self._server is not None:
            try:
                self._server.check()
            except StatusSocketTakenError as error:
                _report_taken(error)

    def serve(self, context: StatusContext) -> None:
        """Answer with the state of this sensor. Call before entering."""
        self._sensor = context.sensor
        if self._server is not None:
            self._server.answer = Snapshot(context).answer

    def __enter__(self) -> Self:
        if self._server is not None and self._sensor is not None:
            try:
                self._server.__enter__()
            except StatusSocketTakenError as error:
                _report_taken(error)
            else:
                self.entered = True
                self._sensor.add_reader(self._server.fileno(), self._server.serve)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering and remove the socket. A second call does nothing."""
        if self._server is not None:
            self._server.close()

    def discard(self) -> None:
        """Remove the socket in a process that outlives the sensor. Never raises."""
        if self._server is not None:
            discard(self._server.path)


def _report_taken(error: StatusSocketTakenError) -> None:
    print_message(f"{error}; this one has no status socket (--status-socket names another)")
