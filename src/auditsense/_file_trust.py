"""Who else could have written a file: root reads settings only from what root alone may write.

Whoever can change what decides is in charge of it, and what is read here decides what is seen, and which
audit rule the kernel gets.

Rule 1: a path is walked folder by folder, each opened in the one before, so that what was looked at is what
        is used.
Rule 2: a symbolic link on the way is followed only when nobody else could make it lead elsewhere.
Rule 3: a file may be anything and of any size until it is open: a FIFO or a device is neither waited for
        nor read.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NoReturn

from auditsense.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 20
"""Of a file of settings or detections."""

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MOST_LINKS = 40  # as the kernel


def open_directory(path: str, *, trusted: bool) -> int:
    """Return a descriptor for use as `dir_fd`.

    Args:
        path: of the folder.
        trusted: whether all folders above it must be such that nobody else could replace what lies in them.

    Raises:
        UsageError: somebody else could make the path lead elsewhere.
        OSError: it cannot be opened.
    """
    left = _absolute(path).split("/")[::-1]
    links = 0
    place, at = "/", os.open("/", _FOLDER)
    try:
        while left:
            name = left.pop()
            if name in {"", "."}:
                continue
            if trusted:
                require_not_replaceable(place, os.fstat(at))
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                _refuse_link(place, os.fstat(at), name, found)
                links += 1
                if links > _MOST_LINKS:
                    _refuse_circle()
                target = os.readlink(name, dir_fd=at)
                left += target.split("/")[::-1]
                name = "/" if target.startswith("/") else "."
            below = os.open(name, _FOLDER, dir_fd=at)
            os.close(at)
            at, place = below, os.path.normpath(f"{place}/{name}") if name != "/" else "/"
    except BaseException:
        os.close(at)
        raise
    return at


def require_trusted_path(path: Path) -> None:
    """Raise when somebody but root could put another file at *path*, or another folder above it.

    In a folder above, as /tmp, the sticky bit is enough: what lies there stays its owner's.

    Raises:
        UsageError: somebody could, or it cannot be looked at.
    """
    here = os.fspath(path)
    try:
        for _ in range(_MOST_LINKS):
            above, _, name = _absolute(here).rstrip("/").rpartition("/")
            at = open_directory(above or "/", trusted=True)
            try:
                status = os.fstat(at)
                require_owned(above or "/", status)
                if not name:
                    return
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
                if not stat.S_ISLNK(found.st_mode):
                    if stat.S_ISDIR(found.st_mode):
                        require_owned(here, found)
                    return
                _refuse_link(above, status, name, found)
                here = os.path.join(above, os.readlink(name, dir_fd=at))  # noqa: PTH118 - see _resources.py
            finally:
                os.close(at)
        _refuse_circle()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise UsageError(f"{str(path)!r}: no name of a file") from None


def require_owned(path: Path | str, status: os.stat_result) -> None:
    """Raise when the owner is not this process's user, or when others than the owner may write it.

    Raises:
        UsageError: so it is.
    """
    own = os.geteuid()
    if status.st_uid in {0, own} and not status.st_mode & _OTHERS:
        return
    who = "others" if status.st_uid in {0, own} else f"user {status.st_uid}"
    reader, alone = ("root", "root alone") if own == 0 else (f"user {own}", f"root or user {own} alone")
    raise UsageError(f"{path}: {who} may change it; {reader} loads only what {alone} may write")


def require_not_replaceable(path: str, status: os.stat_result) -> None:
    """Raise when somebody else could replace what lies in a folder; the sticky bit keeps others from it.

    Raises:
        UsageError: so it is.
    """
    if status.st_uid not in {0, os.geteuid()} or not status.st_mode & stat.S_ISVTX:
        require_owned(path, status)


def _refuse_link(place: str, folder: os.stat_result, name: str, link: os.stat_result) -> None:
    require_not_replaceable(place, folder)
    if link.st_uid not in {0, os.geteuid()}:
        raise UsageError(
            f"{os.path.normpath(f'{place}/{name}')}: a symbolic link that user {link.st_uid} may change; "
            "name what it leads to"
        )


def _refuse_circle() -> NoReturn:
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{os.getcwd()}/{path}"  # noqa: PTH109 - see _resources.py


def read_trusted_text(path: Path, *, always: bool) -> str:
    """Return what a file of settings holds: a regular file of UTF-8 text, of 1 MiB at most.

    Args:
        path: of the file.
        always: whether a file that others may change is refused whoever reads it, and not by root only.

    Raises:
        UsageError: it cannot be read, is no such file, or others may change it.
    """
    root = os.geteuid() == 0
    if root:
        require_trusted_path(path)
    try:
        descriptor = os.open(path, _FILE)
        try:
            status = os.fstat(descriptor)
            # Asked of the open file: it cannot be another one by now.
            _refuse_irregular(path, status)
            if root or always:
                require_owned(path, status)
            content = _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise UsageError(f"{str(path)!r}: no name of a file") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB; this is no file of settings")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text") from None


def _refuse_irregular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{path}: a folder, not a file; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path}: not a regular file")


def _read(descriptor: int) -> bytes:
    """Return a file's bytes, a few more than `MAX_BYTES` at most: some files never end."""
    content = b""
    while len(content) <= MAX_BYTES and (more := os.read(descriptor, 1 << 16)):
        content += more
    return content
