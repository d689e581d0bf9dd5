"""What auditsense run does otherwise with a source of text: nothing on the host is its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from auditsense.errors import UsageError
from auditsense.status.config import DEFAULT_SOCKET, StatusSettings

if TYPE_CHECKING:
    from auditsense.config.settings import Settings, SourceSettings
    from auditsense.kernel.privileges import User
    from auditsense.sources.text_source import Text


def is_text(name: str) -> bool:
    """Return whether a source is one of text."""
    return name == "audisp" or name.startswith(("unix:", "log:"))


def text_source(asked: SourceSettings, *, own_process: bool) -> Text | None:
    """Return the source of text asked for; None: another kind is.

    Raises:
        UsageError: something is asked for that only the kernel could do.
    """
    name, _, path = asked.name.partition(":")
    if not is_text(asked.name):
        return None
    for given, what in (
        (asked.audit_rules, "--audit-rule"),
        (asked.lean, "--lean"),
        (asked.repair, "repair"),
    ):
        if given:
            raise UsageError(
                f"{what} is for the kernel's own sockets; with source {asked.name} auditd decides what comes"
            )
    if name == "unix":
        from auditsense.sources.af_unix import Dispatcher  # noqa: PLC0415 - the one that is used

        return Dispatcher(path)
    if name == "log":
        from auditsense.sources.tail import Log  # noqa: PLC0415 - the same

        return Log(path)
    from auditsense.sources.audisp import Audisp  # noqa: PLC0415 - the same

    if own_process:  # auditd sends it when it reads its own configuration again
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return Audisp()


def status_for(asked: Settings) -> StatusSettings:
    """Return where it may be asked; nowhere, where the usual place is not this user's to make."""
    if is_text(asked.source.name) and os.geteuid() != 0 and asked.status.socket == DEFAULT_SOCKET:
        return StatusSettings(None)
    return asked.status


def give_up_all(user: User | None, *, own_process: bool) -> None:
    """Keep no capability. The system calls stay: a log or a socket has to be opened again.

    Raises:
        AuditSenseError: the kernel refused.
    """
    if own_process:
        from auditsense.kernel import privileges  # noqa: PLC0415 - as in give_up_privileges

        privileges.keep_only(user=user)
