"""Spool: documents in a folder until another program has delivered them (ADR 29).

A folder with one SQLite database in WAL mode. A returned `append` has been written to the disk
(`synchronous=FULL`). Documents are ordered by a sequence number, never by a clock, and unique by id.

One process appends and another removes. Each opens its own `SpoolStore`, which must not cross a fork.

A confined process may write files of known names only (`names`). It then has `SpoolFiles` that know them.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from auditsense._file_trust import open_directory
from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE: Final = "spool.db"
VERSION: Final = 2
"""Of the tables, in `user_version`."""
APPLICATION_ID: Final = 0x41534453  # "ASDS", in the file's header
PAGE_BYTES: Final = 4096
MIN_SIZE: Final = 1 << 20
MAX_DAMAGED: Final = 3
"""Number of damaged databases that are kept next to the spool."""
MAX_REFUSED: Final = 1000
"""Number of refused documents that are kept; with more, the oldest are discarded and counted."""

MAX_NUMBER: Final = 200
"""Highest number of a damaged database for a confined process, which then uses it again."""

_OF_DATABASE: Final = ("-shm", "-wal", "")  # the database last: until then it is found at its name
_BUSY_S: Final = 5.0  # the other process holds the write lock for one commit
_WAL_BYTES: Final = 4 << 20  # size to which the write-ahead log is cut
_SLACK_PAGES: Final = 8  # that the trees may need for one more document
_NO_SPACE: Final = "no space left on the device"
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MIGRATIONS: Final[tuple[str, ...]] = (
    # 0 to 1. AUTOINCREMENT: a number is never used again, so a late removal cannot hit another document.
    """
    CREATE TABLE documents (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document BLOB NOT NULL
    );
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    """,
    # 1 to 2: what receivers refuse.
    """
    CREATE TABLE refused (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, document BLOB NOT NULL, reason TEXT NOT NULL
    );
    """,
)
"""Statements that lead from each version to the next."""


class SpoolError(AuditSenseError):
    """The spool cannot be used now; a later attempt may succeed.

    Args:
        message: in one line.
        appended: how many documents of the call are in the spool, counted from the first one.
    """

    def __init__(self, message: str, appended: int = 0) -> None:
        super().__init__(message)
        self.appended = appended


class SpoolFullError(SpoolError):
    """The spool has reached its size."""


class SpoolUnusableError(SpoolError):
    """The spool cannot be used until the operator changes something."""


class SpoolDamagedError(SpoolError):
    """The database is damaged; `SpoolStore.set_aside` begins another one."""


@dataclass(frozen=True, slots=True)
class SpooledDocument:
    """A document in the spool.

    Attributes:
        seq: its number in the spool.
        id: unique; `event.id` of the document, if it has one.
        line: the document as one line of JSON, without a line end.
    """

    seq: int
    id: str
    line: bytes


@dataclass(frozen=True, slots=True)
class SpoolState:
    """Contents of a spool.

    Attributes:
        documents: waiting for delivery.
        refused: set apart.
        used_bytes: pages in use.
        counters: by name, since the spool was created.
    """

    documents: int
    refused: int
    used_bytes: int
    counters: dict[str, int]


class SpoolFiles(Protocol):
    """Files of a spool, in a process that may write no others (kernel/sealed_database.py)."""

    @property
    def path(self) -> str:
        """Path of the folder, as SQLite has to name it."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the files; (): any."""

    def is_replaced(self) -> bool:
        """Return whether another folder has the path now."""

    def create(self, name: str) -> None:
        """Create a file with mode 0600 if there is none. Raises OSError."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file. Raises OSError."""

    def remove(self, name: str) -> None:
        """Remove a file. Raises OSError."""


class _FolderFiles:
    """Files of a spool, with the rights of this process. See `SpoolFiles`."""

    names = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = str(folder)

    def is_replaced(self) -> bool:
        return False

    def create(self, name: str) -> None:
        with suppress(FileExistsError):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(self._folder / name, flags, 0o600))

    def rename(self, old: str, new: str) -> None:
        (self._folder / old).rename(self._folder / new)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()


def names(*, damaged: bool) -> tuple[str, ...]:
    """Return the names of the files of a spool.

    Args:
        damaged: whether with those of damaged databases.
    """
    databases = [FILE, *(_name(number) for number in range(1, MAX_NUMBER + 1) if damaged)]
    return (f"{FILE}-journal", *(f"{database}{end}" for database in databases for end in _OF_DATABASE))


def check_folder(folder: Path) -> int:
    """Check a spool's folder. Returns its owner.

    Raises:
        SpoolUnusableError: it does not exist, others may write to it, or another user could replace it.
    """
    try:
        descriptor = open_directory(str(folder), trusted=False)
    except OSError as error:
        raise SpoolUnusableError(f"cannot open the spool {folder}: {error.strerror}") from None
    except UsageError as error:
        raise SpoolUnusableError(f"cannot open the spool {folder}: {error}") from None
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if status.st_mode & _OTHERS:
        raise SpoolUnusableError(
            f"cannot open the spool {folder}: other users may write to it; run chmod 700 {folder}"
        )
    return status.st_uid


class SpoolStore:
    """An open spool.

    Args:
        folder: see `check_folder`; the database is created in it if there is none.
        size: bytes at which `append` refuses, `MIN_SIZE` or more; None: for a process that only removes.
        check: whether to read the whole database for damage first.
        files: that this process may write; None: any.

    Raises:
        SpoolUnusableError: the folder belongs to another user, or the database to another program or version.
        SpoolDamagedError: the database is damaged.
        SpoolError: the database cannot be opened now.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int | None = None,
        check: bool = False,
        files: SpoolFiles | None = None,
    ) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._max_pages = 0
        owner = check_folder(folder)
        if owner != os.geteuid():
            raise SpoolUnusableError(
                f"cannot open the spool {folder}: it belongs to user {owner}; run as that user, "
                "or name another folder"
            )
        files = files or _FolderFiles(folder)
        if files.is_replaced():
            raise SpoolUnusableError(
                f"cannot open the spool {folder}: its folder was replaced since the start; restart auditsense"
            )
        with _translated(folder):
            files.create(FILE)  # with mode 0600: SQLite gives its other files the same one
            self._connection = sqlite3.connect(f"{files.path}/{FILE}", timeout=_BUSY_S, isolation_level=None)
        try:
            with _translated(folder):
                self._prepare(size, check=check)
        except BaseException:
            self._connection.close()
            raise
        status = self._path.stat()
        self._file = (status.st_dev, status.st_ino)

    def _prepare(self, size: int | None, *, check: bool) -> None:
        run = self._connection.execute
        run(f"PRAGMA page_size = {PAGE_BYTES}")
        run("PRAGMA temp_store = MEMORY")
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        # A removal may be lost in a power cut: the document is then delivered twice, and counted once.
        run(f"PRAGMA synchronous = {'FULL' if size is not None else 'NORMAL'}")
        if size is not None:
            # A smaller limit than the file's present size is raised to that size.
            self._max_pages = int(run(f"PRAGMA max_page_count = {max(1, size // PAGE_BYTES)}").fetchone()[0])
        if check and (rows := run("PRAGMA quick_check(1)").fetchall()) != [("ok",)]:
            raise SpoolDamagedError(f"the spool {self.folder} is damaged: {rows[0][0]}")
        self._migrate()

    def _migrate(self) -> None:
        """Bring the tables to `VERSION`, in one transaction."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            version = self._known_version()
            for statements in _MIGRATIONS[version:]:
                for statement in statements.split(";"):
                    run(statement)
            if version < VERSION:
                run(f"PRAGMA application_id = {APPLICATION_ID}")
                run(f"PRAGMA user_version = {VERSION}")
            run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise

    def _known_version(self) -> int:
        """Return the version of the tables, 0 to `VERSION`; 0: there are none."""
        run = self._connection.execute
        version = int(run("PRAGMA user_version").fetchone()[0])
        application = int(run("PRAGMA application_id").fetchone()[0])
        tables = int(run("SELECT count(*) FROM sqlite_schema").fetchone()[0])
        if application != APPLICATION_ID and tables:
            raise SpoolUnusableError(
                f"{self._path} is a database of another program; name another folder for the spool"
            )
        if version > VERSION:
            raise SpoolUnusableError(
                f"the spool {self.folder} has version {version}, and this auditsense knows {VERSION}; "
                "use the newer auditsense, or name another folder"
            )
        return version

    def append(self, documents: Sequence[tuple[str, bytes]]) -> int:
        """Append documents, each with its id, in one transaction.

        A document whose id is in the spool already is left out.

        Returns:
            How many were left out. All documents are on the disk.

        Raises:
            SpoolFullError: the spool is full; the documents before that one are on the disk.
            SpoolDamagedError: the database is damaged.
            SpoolError: the disk is full or fails.
        """
        known, fitting = self._insert(documents)
        if fitting == len(documents):
            return known
        appended = fitting if self._insert(documents[:fitting])[1] == fitting else 0
        with _translated(self.folder):
            full = self._is_full(len(documents[fitting][1]))
        if full:
            raise SpoolFullError(f"the spool {self.folder} is full", appended)
        raise SpoolError(f"cannot use the spool {self.folder}: {_NO_SPACE}", appended)

    def _insert(self, documents: Sequence[tuple[str, bytes]]) -> tuple[int, int]:
        """Insert all documents or none.

        Returns:
            How many were known, and how many fit: with fewer than all, none was inserted.
        """
        known = 0
        run = self._connection.execute
        with _translated(self.folder):
            run("BEGIN IMMEDIATE")
            try:
                for index, (name, line) in enumerate(documents):
                    try:
                        row = run(
                            "INSERT OR IGNORE INTO documents (id, document) VALUES (?, ?)", (name, line)
                        )
                    except sqlite3.OperationalError as error:
                        if _code(error) != sqlite3.SQLITE_FULL:
                            raise
                        return 0, index
                    known += not row.rowcount
                if known:
                    self._count("duplicates", known)
                run("COMMIT")
            finally:
                if self._connection.in_transaction:
                    run("ROLLBACK")
        return known, len(documents)

    def _is_full(self, size: int) -> bool:
        """Return whether the spool, and not the disk, lacks the space for a document."""
        pages = int(self._connection.execute("PRAGMA page_count").fetchone()[0])
        free = int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
        return self._max_pages - pages + free < size // PAGE_BYTES + _SLACK_PAGES

    def oldest(self, count: int, max_bytes: int, skip: int = 0) -> list[SpooledDocument]:
        """Return the oldest documents after the first *skip*.

        At most *count* and, from the second one on, *max_bytes*.

        Raises:
            SpoolDamagedError: the database is damaged.
            SpoolError: it cannot be read now.
        """
        documents: list[SpooledDocument] = []
        total = 0
        with _translated(self.folder):
            rows = self._connection.execute(
                "SELECT seq, id, document FROM documents ORDER BY seq LIMIT ? OFFSET ?", (count, skip)
            )
            for seq, name, line in rows:
                total += len(line)
                if documents and total > max_bytes:
                    rows.close()  # ends the read transaction
                    break
                documents.append(SpooledDocument(seq, str(name), bytes(line)))
        return documents

    def remove(self, documents: Sequence[SpooledDocument], **counted: int) -> None:
        """Remove documents and add to counters, in one transaction.

        Raises:
            SpoolDamagedError: the database is damaged.
            SpoolError: it cannot be written now; nothing was changed.
        """
        with self._transaction():
            self._delete(documents)
            for name, value in counted.items():
                if value:
                    self._count(name, value)

    def refuse(self, refused: Sequence[tuple[SpooledDocument, str]]) -> None:
        """Set documents apart, each with the reason, in one transaction. Raises as `remove`."""
        with self._transaction():
            self._delete([document for document, _ in refused])
            self._connection.executemany(
                "INSERT INTO refused (id, document, reason) VALUES (?, ?, ?)",
                [(document.id, document.line, reason) for document, reason in refused],
            )
            self._count("refused", len(refused))
            discarded = self._connection.execute(
                "DELETE FROM refused WHERE seq <= (SELECT max(seq) FROM refused) - ?", (MAX_REFUSED,)
            ).rowcount
            if discarded:
                self._count("discarded", discarded)

    def refused(self) -> list[tuple[SpooledDocument, str]]:
        """Return the documents that were set apart, oldest first, each with the reason.

        Raises:
            SpoolDamagedError: the database is damaged.
            SpoolError: it cannot be read now.
        """
        with _translated(self.folder):
            rows = self._connection.execute("SELECT seq, id, document, reason FROM refused ORDER BY seq")
            return [
                (SpooledDocument(seq, str(name), bytes(line)), str(reason))
                for seq, name, line, reason in rows
            ]

    def retry_refused(self) -> int:
        """Move the documents that were set apart behind those that wait. Returns their number.

        Raises as `remove`.
        """
        with self._transaction():
            self._connection.execute(
                "INSERT OR IGNORE INTO documents (id, document) SELECT id, document FROM refused ORDER BY seq"
            )
            return self._connection.execute("DELETE FROM refused").rowcount

    def state(self) -> SpoolState:
        """Return what the spool holds.

        Raises:
            SpoolDamagedError: the database is damaged.
            SpoolError: it cannot be read now.
        """
        run = self._connection.execute
        with _translated(self.folder):
            documents = int(run("SELECT count(*) FROM documents").fetchone()[0])
            pages = int(run("PRAGMA page_count").fetchone()[0])
            free = int(run("PRAGMA freelist_count").fetchone()[0])
            counters = {str(name): int(value) for name, value in run("SELECT name, value FROM counters")}
            refused = int(run("SELECT count(*) FROM refused").fetchone()[0])
        return SpoolState(documents, refused, (pages - free) * PAGE_BYTES, counters)

    def is_replaced(self) -> bool:
        """Return whether the database at this path is another one now: the writer has set this one aside."""
        try:
            status = self._path.stat()
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._file

    def close(self) -> None:
        """Close the database. A second call does nothing."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self.folder):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _delete(self, documents: Sequence[SpooledDocument]) -> None:
        self._connection.executemany(
            "DELETE FROM documents WHERE seq = ?", [(document.seq,) for document in documents]
        )

    def _count(self, name: str, value: int) -> None:
        self._connection.execute(
            "INSERT INTO counters VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, value),
        )


def set_aside(folder: Path, files: SpoolFiles | None = None) -> tuple[Path, int]:
    """Rename a damaged database and begin another one with the documents that can still be read.

    The newest `MAX_DAMAGED` damaged databases are kept. Only the process that appends may call it.

    Args:
        folder: of the spool.
        files: see `SpoolStore`.

    Returns:
        The new name of the damaged database, and the number of documents that were saved.

    Raises:
        SpoolError: it cannot be renamed, or the new database cannot be written.
    """
    files = files or _FolderFiles(folder)
    damaged = _rename(folder, files)
    store = SpoolStore(folder, size=1 << 40, files=files)  # no limit: they have fitted before
    saved = 0
    try:
        for document in _readable(f"{files.path}/{damaged}"):
            with suppress(SpoolFullError):
                store.append([document])
                saved += 1
    finally:
        store.close()
    return folder / damaged, saved


def _rename(folder: Path, files: SpoolFiles) -> str:
    """Rename the database with its log, so that both stay together; remove the oldest damaged one."""
    may_use = {_number(name) for name in files.names} - {0}
    with _translated(folder):
        kept = [number for number in _damaged(folder) if not may_use or number in may_use]
        newest = max(kept, default=0)
        number = min((one for one in may_use if one > newest), default=max(may_use, default=newest + 1))
        for old in {*kept[: max(0, len(kept) + 1 - MAX_DAMAGED)], number}:
            for end in _OF_DATABASE:
                with suppress(FileNotFoundError):
                    files.remove(f"{_name(old)}{end}")
        for end in _OF_DATABASE:
            with suppress(FileNotFoundError):
                files.rename(f"{FILE}{end}", f"{_name(number)}{end}")
    return _name(number)


def _name(number: int) -> str:
    """Return the name of a damaged database."""
    return f"{FILE}.damaged-{number:03d}"


def _number(name: str) -> int:
    """Return the number of a damaged database; 0: it is none."""
    number = name.removeprefix(f"{FILE}.damaged-")
    return int(number) if number.isdecimal() and number.isascii() and name == _name(int(number)) else 0


def _damaged(folder: Path) -> list[int]:
    """Return the numbers of the damaged databases in a folder, the oldest first."""
    return sorted(number for path in folder.iterdir() if (number := _number(path.name)))


def _readable(path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the documents of a damaged database up to the first one that cannot be read."""
    with suppress(sqlite3.Error, ValueError):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            for name, line in connection.execute("SELECT id, document FROM documents ORDER BY seq"):
                yield str(name), bytes(line)
        finally:
            connection.close()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Raise errors of SQLite and of the file system as `SpoolError`."""
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        if code in _DAMAGED:
            raise SpoolDamagedError(f"the spool {folder} is damaged: {error}") from None
        reason = _NO_SPACE if code == sqlite3.SQLITE_FULL else str(error)
        raise SpoolError(f"cannot use the spool {folder}: {reason}") from None
    except OSError as error:
        raise SpoolError(f"cannot use the spool {folder}: {error.strerror}") from None


def _code(error: BaseException) -> int:
    """Return the primary result code of SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
