"""The host of an alert."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.errors import expect

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Host:
    """A host's identity.

    Attributes:
        id: /etc/machine-id (32 hex digits); the name if there is none.
        name: the node name, from uname(2).
    """

    id: str
    name: str

    def __post_init__(self) -> None:
        expect("id", self.id, str, "a string")
        expect("name", self.name, str, "a string")


def this_host(machine_id: Path | str = "/etc/machine-id") -> Host:
    """Return the identity of this host. Reads one file, never below /proc."""
    name = os.uname().nodename
    try:
        with open(machine_id, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib loads slowly
            id_ = file.read().strip()
    except OSError:
        id_ = ""
    return Host(id_ or name, name)
