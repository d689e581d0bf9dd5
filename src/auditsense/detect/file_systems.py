"""Windows whose last event is on a file system of a type that its detection is not about.

The rule table knows devices that the host had mounted when the sensor started. A device that came later may
be any file system: a container has its own procfs, and its own sysfs. Its type is asked for when a window of
a detection that compares `file.filesystem` is complete, never for each event. A type that remains unknown
counts as the right one.

Rule: the window of such a detection is by `file.device`. Otherwise the core merges windows that end on
      different file systems, and the first one decides about all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from auditsense.core.rule_table import Field
from auditsense.detections.own_query import file_systems_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditsense.core.hit import Hit
    from auditsense.detections.model import Detection


class FileSystems(Protocol):
    """Types of file systems by device, ``MAJOR:MINOR`` in hex as PATH records have it."""

    known: Mapping[str, str]
    """Those of the host at the start, which stay mounted."""

    def type_of(self, device: str, pid: int) -> str:
        """Return the type of a device that a process has used; "": unknown."""


def types_of(detections: Sequence[Detection]) -> list[frozenset[str]]:
    """Return the types that each detection is about; empty: any."""
    return [file_systems_of(detection.match) for detection in detections]


def on_file_systems(
    hits: Iterable[Hit], types: Sequence[frozenset[str]], file_systems: FileSystems
) -> Iterator[Hit]:
    """Yield the hits but those on another file system than their detection is about.

    Args:
        hits: in order.
        types: as `types_of` returns them.
        file_systems: of this host.
    """
    for hit in hits:
        wanted = types[hit.rule]
        if wanted and hit.value(Field.NODE) is None:
            device, pid = hit.text(Field.PATH_DEV), hit.number(Field.PID)
            found = file_systems.type_of(device, pid) if device and pid else ""
            if found and found not in wanted:
                continue
        yield hit
