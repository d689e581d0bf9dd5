"""Digests by the interpreter's own functions: `hashlib` loads OpenSSL, more than 1 MB of a sensor's memory.

They are loaded with this module: a confined process may be unable to read a module later.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def sha256(text: bytes) -> str:
    """Return the SHA-256 digest in hexadecimal."""
    digest: str = _sha256.sha256(text).hexdigest()
    return digest


def blake2b(text: bytes, size: int) -> bytes:
    """Return the BLAKE2b digest.

    Args:
        text: to digest.
        size: of the digest in bytes, 1 to 64.
    """
    digest: bytes = _blake2.blake2b(text, digest_size=size).digest()
    return digest


def _module(name: str) -> Any:  # noqa: ANN401 - it has the function
    """Return one of the interpreter's own modules; hashlib, where it was built without."""
    try:
        return import_module(name)
    except ImportError:
        return import_module("hashlib")


_sha256 = _module("_sha2" if sys.version_info >= (3, 12) else "_sha256")
_blake2 = _module("_blake2")
