"""Refuse files that another user could have written: root reads settings only from what root alone may write.

Settings and detections decide what a sensor sees and which audit rule the kernel gets.

Rule 1: a path is walked folder by folder, each opened relative to the previous one, so the folder that was
        checked is the one that is used.
Rule 2: a symbolic link is followed only when no other user could make it lead elsewhere.
Rule 3: a path may be a FIFO, a device or a file of any size: never wait for one, and never read more than
        the limit.
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
"""Limit of a file of settings or detections."""

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MAX_LINKS = 40  # as in the kernel


def open_directory(path: str, *, trusted: bool) -> int:
    """Return a descriptor for use as `dir_fd`.

    Args:
        path: of the folder.
        trusted: whether to require that no other user can replace an entry of a folder above it.

    Raises:
        UsageError: another user could make the path lead elsewhere.
        OSError: it cannot be opened.
    """
    parts = _absolute(path).split("/")[::-1]
    links = 0
    folder, at = "/", os.open("/", _FOLDER)
    try:
        while parts:
            name = parts.pop()
            if name in {"", "."}:
                continue
            if trusted:
                require_not_replaceable(folder, os.fstat(at))
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                _refuse_link(folder, os.fstat(at), name, status)
                links += 1
                if links > _MAX_LINKS:
                    _refuse_loop()
                target = os.readlink(name, dir_fd=at)
                parts += target.split("/")[::-1]
                name = "/" if target.startswith("/") else "."
            below = os.open(name, _FOLDER, dir_fd=at)
            os.close(at)
            at, folder = below, os.path.normpath(f"{folder}/{name}") if name != "/" else "/"
    except BaseException:
        os.close(at)
        raise
    return at


def require_trusted_path(path: Path) -> None:
    """Raise when another user could replace *path* or a folder above it.

    The sticky bit of a folder above it, such as /tmp, suffices: only an owner can replace an entry there.

    Raises:
        UsageError: another user could, or the path cannot be read.
    """
    here = os.fspath(path)
    try:
        for _ in range(_MAX_LINKS):
            above, _, name = _absolute(here).rstrip("/").rpartition("/")
            at = open_directory(above or "/", trusted=True)
            try:
                status = os.fstat(at)
                require_owned(above or "/", status)
                if not name:
                    return
                entry = os.stat(name, dir_fd=at, follow_symlinks=False)
                if not stat.S_ISLNK(entry.st_mode):
                    if stat.S_ISDIR(entry.st_mode):
                        require_owned(here, entry)
                    return
                _refuse_link(above, status, name, entry)
                target = os.readlink(name, dir_fd=at)
                here = target if target.startswith("/") else f"{above}/{target}"
            finally:
                os.close(at)
        _refuse_loop()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise UsageError(f"{str(path)!r}: not a file name") from None


def require_owned(path: Path | str, status: os.stat_result) -> None:
    """Raise when the owner is neither root nor this process's user, or when another user may write it.

    Raises:
        UsageError: another user may change it.
    """
    own = os.geteuid()
    if status.st_uid in {0, own} and not status.st_mode & _OTHERS:
        return
    who = "others" if status.st_uid in {0, own} else f"user {status.st_uid}"
    reader, alone = ("root", "root alone") if own == 0 else (f"user {own}", f"root or user {own} alone")
    raise UsageError(f"{path}: {who} may change it; {reader} loads only what {alone} may write")


def require_not_replaceable(path: str, status: os.stat_result) -> None:
    """Raise when another user could replace an entry of a folder; the sticky bit prevents that.

    Raises:
        UsageError: another user could.
    """
    if status.st_uid not in {0, os.geteuid()} or not status.st_mode & stat.S_ISVTX:
        require_owned(path, status)


def _refuse_link(folder: str, status: os.stat_result, name: str, link: os.stat_result) -> None:
    require_not_replaceable(folder, status)
    if link.st_uid not in {0, os.geteuid()}:
        raise UsageError(
            f"{os.path.normpath(f'{folder}/{name}')}: a symbolic link that user {link.st_uid} may change; "
            "name what it leads to"
        )


def _refuse_loop() -> NoReturn:
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{os.getcwd()}/{path}"  # noqa: PTH109 - pathlib loads slowly, see _resources


def read_trusted_text(path: Path, *, always: bool) -> str:
    """Return the content of a file of settings: a regular file of UTF-8 text, at most 1 MiB.

    Args:
        path: of the file.
        always: whether any reader, and not only root, refuses a file that others may change.

    Raises:
        UsageError: it cannot be read, is not such a file, or others may change it.
    """
    root = os.geteuid() == 0
    if root:
        require_trusted_path(path)
    try:
        descriptor = os.open(path, _FILE)
        try:
            status = os.fstat(descriptor)
            # Of the open descriptor: the path may lead to another file by now.
            _refuse_irregular(path, status)
            if root or always:
                require_owned(path, status)
            content = _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise UsageError(f"{str(path)!r}: not a file name") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB; this is not a settings file")
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
    """Return a file's bytes, at most a few more than `MAX_BYTES`: some files never end."""
    content = b""
    while len(content) <= MAX_BYTES and (more := os.read(descriptor, 1 << 16)):
        content += more
    return content
