"""The value of a condition as text: numbers, and the names that stand for them.

Read as auditctl reads them, but for what it takes and the kernel then misreads: a number
too large for 32 bits, rubbish after a number, and a leading zero (it would be octal).
Every reader raises AuditRuleError for a text that is no value of its field.
"""

from __future__ import annotations

import errno
import grp
import pwd
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import FIELD_NAMES, FILETYPES, FSTYPES, MSGTYPES, PERMS, UNSET, Field
from auditsense.kernel.rules.field import ARGUMENT_FIELDS, GID_FIELDS, UID_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# 20 digits hold any 64-bit number; int() would raise at some thousand.
_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]{1,20}|0|[1-9][0-9]{0,19})")
_OCTAL = re.compile(r"-?0[0-9]+")
_BITS = 32
_MODULUS = 1 << _BITS
_HALF = _MODULUS // 2
_SIGN_EXTENSION = (1 << _BITS + 1) - 1  # the upper 33 bits of a negative int in 64
_SIGNED = ARGUMENT_FIELDS | {Field.EXIT}
_NAMED: Mapping[Field, Mapping[str, int]] = {
    Field.FILETYPE: FILETYPES,
    Field.FSTYPE: FSTYPES,
    Field.MSGTYPE: MSGTYPES,
    Field.SUCCESS: {"1": 1, "0": 0},
}


def hint(text: str, known: Iterable[str]) -> str:
    """Return ``: did you mean NEAREST?`` or nothing, to end an error message with."""
    close = get_close_matches(text, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def read(field: Field, text: str) -> int:
    """Return the unsigned 32 bits `text` means for a numeric field other than arch.

    Account names are looked up in the host's databases (pwd, grp).
    """
    if field is Field.PERM:
        return perm(text)
    if field in UID_FIELDS | {Field.SESSIONID} and text in {"unset", "-1"}:
        return UNSET
    names = _NAMED.get(field, {})
    if text in names:
        return names[text]
    found = None if field is Field.FILETYPE else number(text)
    if found is not None:
        return _fitted(field, found)
    if field in _LOOKUPS:
        return _LOOKUPS[field](text)
    advice = hint(text, names) or (f": one of {', '.join(names)}" if names else ": not a number")
    raise AuditRuleError(f"{FIELD_NAMES[field]} cannot be {text!r}{advice}")


def write(field: Field, value: int) -> str:
    """Return the text that `read` turns into `value`: a name where there is a fixed one."""
    if field is Field.PERM:
        return written_perm(value)
    if field in {Field.LOGINUID, Field.SESSIONID} and value == UNSET:
        return "unset"
    if field in ARGUMENT_FIELDS:
        return f"{value:#x}"
    if field is Field.EXIT and value >= _HALF:
        code = _MODULUS - value
        return f"-{errno.errorcode.get(code, code)}"
    for name, known in _NAMED.get(field, {}).items():
        if known == value:
            return name
    return str(value)


def number(text: str) -> int | None:
    """Return the number that `text` is, decimal or 0x, or None when it is none."""
    if _NUMBER.fullmatch(text):
        return int(text, 0)
    if _OCTAL.fullmatch(text):
        raise AuditRuleError(f"{text} would be octal: write it decimal, or hexadecimal with 0x")
    return None


def perm(text: str) -> int:
    """Return the bits of r, w, x, a, in any case and order: 1 to 15."""
    bits = 0
    for letter in text.lower():
        if letter not in PERMS:
            raise AuditRuleError(f"permission {letter!r} in {text!r} is none of r w x a")
        bits |= PERMS[letter]
    if not bits:
        raise AuditRuleError("no permission given: one or more of r w x a")
    return bits


def written_perm(bits: int) -> str:
    """Return the letters of permission bits 1 to 15, in the order rwxa."""
    return "".join(letter for letter, bit in PERMS.items() if bits & bit)


def _fitted(field: Field, found: int) -> int:
    if field in _SIGNED and -_HALF <= found < 0:
        return found % _MODULUS
    if field in ARGUMENT_FIELDS and found >= _MODULUS:
        # A record shows the whole register: ffffffffffffff9c is -100 for the kernel as well.
        if found >> (_BITS - 1) == _SIGN_EXTENSION:
            return found % _MODULUS
        raise AuditRuleError(f"{found:#x}: the kernel compares the low 32 bits of an argument")
    if not 0 <= found < _MODULUS:
        low = -_HALF if field in _SIGNED else 0
        raise AuditRuleError(
            f"{FIELD_NAMES[field]} {found} is not within {low} to {_MODULUS - 1}",
        )
    return found


def _user(text: str) -> int:
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):  # ValueError: a NUL byte in the name
        raise AuditRuleError(f"no user {text!r} on this host: use the number") from None


def _group(text: str) -> int:
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise AuditRuleError(f"no group {text!r} on this host: use the number") from None


def _exit_code(text: str) -> int:
    name = text.removeprefix("-")
    # The module knows EWOULDBLOCK and other second names, which errorcode leaves out.
    code = getattr(errno, name, None) if name.startswith("E") else None
    if not isinstance(code, int):
        raise AuditRuleError(f"no errno {text!r}{hint(name, errno.errorcode.values())}")
    return -code % _MODULUS if text.startswith("-") else code


_LOOKUPS: Mapping[Field, Callable[[str], int]] = {
    **dict.fromkeys(UID_FIELDS, _user),
    **dict.fromkeys(GID_FIELDS, _group),
    Field.EXIT: _exit_code,
}
