"""Import `pyroute2.netlink` without the rest of pyroute2.

The package's ``__init__`` imports everything it has. Measured on top of `kernel.commands`, with Python 3.11
and pyroute2 0.9.7 on 2 cores, three runs each:

- ``import pyroute2``: 271 modules, 18.8 MiB, 165 to 174 ms
- `pyroute2.netlink` alone: 6 modules, 0.8 MiB, 6 to 10 ms

During the import an empty package with the same path replaces pyroute2 in `sys.modules`. Afterwards it is
removed with its submodules, so a later ``import pyroute2`` gets the real package. If this fails, the
ordinary import is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Final

_PACKAGE: Final = "pyroute2"
_NETLINK: Final = "pyroute2.netlink"
_lock = threading.Lock()


def import_netlink() -> ModuleType:
    """Return the module `pyroute2.netlink`."""
    with _lock:
        if _PACKAGE in sys.modules:
            return importlib.import_module(_NETLINK)
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.submodule_search_locations is None:
            return importlib.import_module(_NETLINK)  # raises, with the name of the missing package
        placeholder = ModuleType(_PACKAGE)
        placeholder.__path__ = list(spec.submodule_search_locations)
        sys.modules[_PACKAGE] = placeholder
        try:
            return importlib.import_module(_NETLINK)
        except ImportError:
            _remove_package()
            return importlib.import_module(_NETLINK)
        finally:
            if sys.modules.get(_PACKAGE) is placeholder:
                _remove_package()


def _remove_package() -> None:
    for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]:
        del sys.modules[name]
