"""Container ids in the text of /proc/PID/cgroup. No runtime is asked.

Owns: the forms of names that runtimes give to control groups.

A name is no proof: a user to whom systemd delegates a control group can make groups of any name in it, as
rootless Podman does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN: Final = "unknown"

_ID: Final = "[0-9a-f]{64}"
_RUNTIMES: Final = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "libpod-payload": "podman",
}
# docker-ID.scope; libpod-ID without systemd; SLICE:cri-containerd:ID, which containerd passes on as it is
_PREFIXED: Final = re.compile(rf"(?:[^:]*:)?({'|'.join(_RUNTIMES)})[-:]({_ID})(?:\.scope)?")
_BARE: Final = re.compile(_ID)
_PARENT_RUNTIMES: Final = {"docker": "docker"}  # /docker/ID; below kubepods the runtime is in no name
# The payload only: the supervisor next to it is a process of the host.
_MACHINE: Final = re.compile(
    r"(?:machine-|systemd-nspawn@)((?:[A-Za-z0-9_.-]|\\x2d){1,64})\.(?:scope|service)"
)
_PAYLOAD: Final = "payload"
_LXC: Final = re.compile(r"lxc\.payload\.([A-Za-z0-9:_.-]{1,200})")
# These watch a container from outside.
_MONITOR: Final = re.compile(rf"(?:crio|libpod)-conmon-{_ID}(?:\.scope)?|libpod_pod_{_ID}\.slice")
_LOOKS_LIKE_ID: Final = re.compile(rf"(?<![0-9a-f]){_ID}(?![0-9a-f])")
_ESCAPED_DASH: Final = r"\x2d"  # systemd.unit(5)


@dataclass(slots=True, eq=False, repr=False)
class Container(Frozen):
    """A container as the path of a control group names it.

    Attributes:
        id: 64 hex digits; of systemd-nspawn and LXC the name; UNKNOWN: a form that is not known.
        runtime: docker, containerd, cri-o, podman, systemd-nspawn, lxc; "": the path does not tell.
    """

    id: str
    runtime: str = ""


def container_in(text: str) -> Container | None:
    """Return the innermost container of a process; None: its control groups name none.

    Args:
        text: of /proc/PID/cgroup: NUMBER:CONTROLLERS:PATH in each line. Where the lines name different
            containers, the id is UNKNOWN.
    """
    found = {
        container for line in text.splitlines() if (container := next(_containers(line), None)) is not None
    }
    if len(found) > 1:
        return Container(UNKNOWN)
    return next(iter(found), None)


def _containers(line: str) -> Iterator[Container]:
    """Yield the containers of a line, the innermost first."""
    _, _, path = line.partition(":")[2].partition(":")
    parts = path.split("/")
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place]
        if match := _PREFIXED.fullmatch(part):
            yield Container(match[2], _RUNTIMES[match[1]])
        elif _BARE.fullmatch(part):
            yield Container(part, _PARENT_RUNTIMES.get(parts[place - 1], ""))
        elif (match := _MACHINE.fullmatch(part)) and parts[place + 1 : place + 2] == [_PAYLOAD]:
            yield Container(match[1].replace(_ESCAPED_DASH, "-"), "systemd-nspawn")
        elif match := _LXC.fullmatch(part):
            yield Container(match[1], "lxc")
        elif _LOOKS_LIKE_ID.search(part) and not _MONITOR.fullmatch(part):
            yield Container(UNKNOWN)
