"""What a process that still runs can be asked for, where its records were not sent. Reads below /proc."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 128  # as in a PROCTITLE record
_PRINTABLE = range(0x20, 0x7F)


def title_of(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Return the command line of a process, as its PROCTITLE record would give it.

    None: it has ended or has none. A pid that was given away again in the meantime is not told from the
    one that was meant.
    """
    try:
        with (proc / str(pid) / "cmdline").open("rb") as file:
            found = file.read(_LONGEST)
    except OSError:
        return None
    while found and found[-1] not in _PRINTABLE:  # as the kernel does
        found = found[:-1]
    return found.replace(b"\0", b" ").decode("utf-8", "backslashreplace") or None
