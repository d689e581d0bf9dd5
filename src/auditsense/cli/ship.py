"""auditsense ship: deliver a spool to another host."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.cli import print_data, print_message, print_progress
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.sealing import sealed_spool
from auditsense.errors import AuditSenseError, SocketTakenError, UsageError
from auditsense.kernel import privileges
from auditsense.kernel.confinement import PARTS, confine
from auditsense.kernel.connector import Connector
from auditsense.kernel.landlock import existing_folders
from auditsense.ship.config import ShipSettings, open_destination
from auditsense.ship.shipper import Shipper
from auditsense.sinks.dialer import Dialer
from auditsense.sinks.spool_store import SpoolError, SpoolStore, check_folder, names
from auditsense.status.prometheus import spool_metrics

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from auditsense.kernel.sealed_database import SealedDatabase

LOCK: Final = "ship.lock"


def run(arguments: argparse.Namespace) -> int:
    """Deliver, or show what the spool holds."""
    folder = Path(arguments.spool).absolute()
    if arguments.action == "deliver":
        return _deliver(arguments, folder)
    try:
        files = _become_owner(check_folder(folder), folder, own_process=arguments.own_process)
        store = SpoolStore(folder, files=files)
        if arguments.action == "status":
            state = store.state()
            print_data(
                json.dumps(
                    {
                        "documents": state.documents,
                        "refused": state.refused,
                        "used_bytes": state.used_bytes,
                        "counters": state.counters,
                    }
                )
            )
        elif arguments.action == "prometheus":
            print_data(spool_metrics(str(folder), store.state()))
        elif arguments.action == "list-refused":
            for document, reason in store.refused():
                line = document.line.decode("utf-8", "backslashreplace")
                print_data(json.dumps({"id": document.id, "reason": reason, "document": line}))
        else:
            print_message(f"{store.retry_refused()} documents wait for delivery again")
        store.close()
    except SpoolError as error:
        raise AuditSenseError(str(error)) from None
    return 0


def _deliver(arguments: argparse.Namespace, folder: Path) -> int:
    if arguments.to is None:
        raise UsageError("the destination is missing; name it with --to")
    settings = ShipSettings(
        url=arguments.to,
        api_key_file=arguments.api_key_file or "",
        password_file=arguments.password_file or "",
        nats_credentials_file=arguments.nats_creds_file or "",
        ca_file=arguments.ca_file or "",
        client_cert_file=arguments.client_cert or "",
        client_key_file=arguments.client_key or "",
        proxy=arguments.proxy or "",
        headers=tuple(arguments.header),
        timeout_s=arguments.timeout,
        compression=arguments.compression,
    )
    connectors: list[Connector] = []

    def dialing(host: str, port: int) -> Dialer:
        connectors.append(Connector(host, port, socket.SOCK_STREAM))
        return Dialer(connectors[-1].connection)

    destination = open_destination(settings, dialing if arguments.own_process else None)
    shipper = Shipper(folder, destination, print_message, batch=arguments.batch, rate=arguments.max_rate)
    try:
        owner = check_folder(folder)
    except SpoolError as error:
        raise UsageError(str(error)) from None
    with ExitStack() as stack:
        notifier = stack.enter_context(ServiceNotifier())
        for connector in connectors:
            connector.start(_user(owner, folder))
            stack.callback(connector.close)
        shipper.files = _become_owner(
            owner, folder, own_process=arguments.own_process, files=settings.paths()
        )
        stack.enter_context(_locked(folder, shipper.files))
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: shipper.stop()))
        notifier.ready(f"delivers {folder}")
        print_progress(f"delivers {folder} to {arguments.to}")
        try:
            shipper.run(until_empty=arguments.until_empty)
        except SpoolError as error:
            raise AuditSenseError(str(error)) from None
        counts = shipper.counts
        print_progress(
            f"{counts.delivered} documents delivered, {counts.duplicates} of them known to the receiver; "
            f"{counts.refused} set apart; {counts.failures} failures"
        )
    return 0


def _become_owner(
    owner: int,
    folder: Path,
    *,
    own_process: bool,
    files: Sequence[str] = (),
) -> SealedDatabase | None:
    """Drop what delivery does not need: root, capabilities, other files, sockets and system calls.

    Args:
        owner: of the spool.
        folder: of the spool.
        own_process: see `main`.
        files: to read again when they are replaced.

    Returns:
        Files that this process may write; None: any that its user may.
    """
    if not own_process:
        return None
    kept = PARTS["ship"].with_paths(read=existing_folders(files), write=(str(folder),))
    user = _user(owner, folder)
    sealed = sealed_spool(folder, "ship", (*names(damaged=False), LOCK))
    if sealed is not None:
        kept = kept.with_sealed(sealed)
        sealed.seal()
    confined = confine(kept, user)
    if confined.missing:
        print_message(f"this kernel or this machine has no {confined.missing}; continuing without")
    return sealed


def _user(owner: int, folder: Path) -> privileges.User | None:
    """Return the user of a spool; None: this process is that user, or cannot become it."""
    return privileges.User(owner, folder.stat().st_gid) if os.geteuid() == 0 and owner != 0 else None


@contextmanager
def _locked(folder: Path, files: SealedDatabase | None) -> Iterator[None]:
    """Hold the lock of a spool: two programs would deliver each document twice.

    Args:
        folder: of the spool.
        files: see `_become_owner`.

    Raises:
        SocketTakenError: another program holds it.
        UsageError: the folder belongs to another user.
    """
    path = folder / LOCK
    try:
        if files is not None:
            descriptor = files.open(LOCK)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UsageError(f"cannot open {path}: {error.strerror}; run as the owner of the spool") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SocketTakenError(f"another auditsense ship delivers {folder}; stop it first") from None
        yield
    finally:
        os.close(descriptor)
