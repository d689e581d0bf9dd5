"""Functions in a child process, which may confine itself."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def in_child(function: Callable[[], object]) -> Any:  # noqa: ANN401 - whatever it returns
    """Return what a function returns in a child process, as JSON."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        except BaseException as error:  # noqa: BLE001 - the last frame of this process
            os.write(writing, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        return json.loads(pipe.read())
