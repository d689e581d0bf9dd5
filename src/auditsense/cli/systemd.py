"""auditsense units: print or install systemd units."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense._file_trust import require_owned, require_trusted_path
from auditsense.cli import print_data, print_message
from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    import argparse

_FOLDER: Final = Path(__file__).parents[1] / "systemd"
_PACKAGED: Final = "/usr/bin/auditsense"
_MARK: Final = "# Written by auditsense units; written again by the next one.\n"
# Characters without a meaning to systemd, its specifiers and the shell, within quotes.
_PLAIN_PATH: Final = re.compile(r"/[\w/.+@:,=~ -]+", re.ASCII)


def run(arguments: argparse.Namespace) -> int:
    """Write the units to a folder, or print them."""
    program = _program(arguments.program)
    if os.path.lexists(program):  # otherwise it is for an image or another machine
        _refuse_changeable(program)
    texts = units(program)
    if arguments.to is None:
        for name, text in texts.items():
            print_data(f"# {name}\n{text}".rstrip("\n"))
        return 0
    folder = Path(arguments.to)
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    _refuse_others(folder, list(texts))
    for name, text in texts.items():
        _write(folder / name, _MARK + text)
        print_message(f"wrote {folder / name}")
    return 0


def units(program: str) -> dict[str, str]:
    """Return the text of each unit by its file name, for a program at an absolute path."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.service"))}
    manual = _manual(program)
    return {
        name: text.replace(_PACKAGED, program).replace("man:auditsense(1)", manual)
        for name, text in texts.items()
    }


def _manual(program: str) -> str:
    """Return the manual page as a systemd URI: with its path where man(1) does not search."""
    prefix = Path(os.path.realpath(program)).parent.parent
    path = f"{prefix}/share/man/man1/auditsense.1"
    if str(prefix) in ("/usr", "/usr/local") or not _PLAIN_PATH.fullmatch(path):
        return "man:auditsense(1)"
    return f'"man:{path}"'


def _program(name: str | None) -> str:
    """Return the path of the program to start: the given one, else this one."""
    path = name if name is not None else os.path.abspath(sys.argv[0])  # noqa: PTH100 - keeps links
    if not _PLAIN_PATH.fullmatch(path):
        raise UsageError(f"{path!r} cannot stand in a unit; name an absolute path of plain characters")
    if name is None and not os.access(path, os.X_OK):
        raise UsageError(f"{path} is not the program auditsense; name it with --program")
    return path


def _refuse_changeable(program: str) -> None:
    """Check the owner of the program, of its interpreter and, if it is this one, of this package.

    Raises:
        UsageError: a user other than root could change what root would run at boot.
    """
    started = [program, *_interpreter(program)]
    if _is_running(program):
        started.append(str(_FOLDER.parent))
    for path in started:
        try:
            require_trusted_path(Path(path))
            status = os.stat(path)  # noqa: PTH116 - the path is text
            require_owned(path, status)
        except UsageError as error:
            reason = str(error).partition("; ")[0]
        except OSError as error:
            reason = f"{path}: {error.strerror}"
        else:
            if status.st_uid != 0:
                print_message(f"{path} is not root's: its owner decides what the unit runs as root")
            continue
        raise UsageError(f"no unit for {program}: {reason}; install auditsense where root alone may write")


def _is_running(program: str) -> bool:
    try:
        return os.path.samefile(program, sys.argv[0])  # noqa: PTH121 - the path is text
    except OSError:
        return False


def _interpreter(program: str) -> list[str]:
    """Return the interpreter that the first line of a script names, if it is one."""
    try:
        with open(program, "rb") as file:  # noqa: PTH123 - the path is text
            line = file.readline(4096)
    except OSError:
        return []
    words = line.removeprefix(b"#!").split() if line.startswith(b"#!") else []
    return [os.fsdecode(words[0])] if words and words[0].startswith(b"/") else []


def _refuse_others(folder: Path, names: list[str]) -> None:
    """Refuse to overwrite files that this command did not write.

    Raises:
        AuditSenseError: there is such a file.
    """
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise AuditSenseError(f"{folder / name}: {error.strerror}") from None
        if not text.startswith(_MARK):
            raise AuditSenseError(
                f"{folder / name} was not written by this command; remove it, or use another folder"
            )


def _write(path: Path, text: str) -> None:
    """Write a file atomically; mode 0644, which systemd expects."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AuditSenseError(f"cannot write {path}: {error.strerror}") from None
