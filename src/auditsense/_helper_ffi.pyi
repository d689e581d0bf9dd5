# The compiled processes that run no Python, and calls of SQLite; _helper.cdef.h says what each does.

from typing import NoReturn

from cffi import FFI

ffi: FFI

class _Lib:
    AS_BROKER_TIDY: int
    AS_BROKER_FILE: int
    AS_BROKER_SOCKET: int
    AS_BROKER_LOG: int
    AS_BROKER_CLIENTS: int
    def as_sqlite_replace(self, vfs: FFI.CData, files: FFI.CData) -> int: ...
    def as_broker_serve(self, clients: FFI.CData, count: int) -> int: ...
    def as_broker_run(self, clients: FFI.CData, count: int, start: FFI.CData) -> NoReturn: ...

lib: _Lib
