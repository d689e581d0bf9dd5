"""Status of a running sensor: settings, server, document, client and table."""

from typing import Final

SOCKET_PATH: Final = "/run/auditsense/control"  # a string, since commands without a socket need no pathlib
