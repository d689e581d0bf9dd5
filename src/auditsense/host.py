"""The host an alert speaks of."""

from __future__ import annotations

import os
from pathlib import Path

from auditsense.value import value


@value
class Host:
    """A host's identity.

    Attributes:
        id: /etc/machine-id (32 hex digits); where there is none, the name.
        name: the node name, from uname(2).
    """

    id: str
    name: str


def this_host(machine_id: Path = Path("/etc/machine-id")) -> Host:
    """Return the identity of this host. Reads one file, never below /proc."""
    name = os.uname().nodename
    try:
        found = machine_id.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        found = ""
    return Host(found or name, name)
