"""Whom a sensor may become, by name."""

from __future__ import annotations

import pwd

from auditsense.errors import UsageError
from auditsense.kernel.privileges import User


def user_named(name: str) -> User:
    """Return an unprivileged user and its group.

    Raises:
        UsageError: there is none of this name, or it is root.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, UnicodeError, ValueError):
        raise UsageError(f"there is no user {name}") from None
    if entry.pw_uid == 0:
        raise UsageError(f"{name} is root; name a user without privileges")
    return User(entry.pw_uid, entry.pw_gid, name)
