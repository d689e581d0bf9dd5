"""The loop from the spool to a destination.

Rule 1: a document leaves the spool when its receiver has acknowledged it, or refused it for good.
Rule 2: what a receiver refuses for good is set apart with the reason, and the others are delivered. A
        receiver that has taken nothing yet, or takes nothing any more, is the wrong one: documents wait.
Rule 3: nothing ends the loop but the caller: each failure is reported once, and tried again.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditsense.ship import BatchRefusedError, DeliveryError, ShippedDocument
from auditsense.ship.pace import OUTAGE_S, Backoff, RateCap
from auditsense.sinks.spool_store import SpoolError, SpoolStore, SpoolUnusableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditsense.ship import Destination, Outcome
    from auditsense.sinks.spool_store import SpooledDocument, SpoolFiles

MAX_BATCH_BYTES: Final = 4 << 20
_POLL_S: Final = 0.2
_SLEEP_S: Final = 0.1  # between two looks at `stop`
_IN_ROW: Final = 100  # refused documents without a delivered one: the receiver is the reason
_TRIED: Final = 10  # batches that are tried before a receiver that takes nothing is waited for
_DAMAGED: Final = "damaged in the spool: no JSON object"


@dataclass(slots=True)
class ShipCounts:
    """Outcome of documents and batches since the start.

    Attributes:
        delivered: documents that the receiver has acknowledged, duplicates included.
        duplicates: of these, those that the receiver had already.
        refused: documents that were set apart.
        failures: batches that have to be sent again.
    """

    delivered: int = 0
    duplicates: int = 0
    refused: int = 0
    failures: int = 0


@dataclass(slots=True)
class Shipper:
    """Deliver a spool.

    Attributes:
        folder: of the spool.
        destination: the receiver.
        report: takes one line for people, at the start and the end of trouble.
        batch: documents per request.
        rate: documents per second; 0: no limit.
        counts: so far.
        files: that this process may write; None: any.
    """

    folder: Path
    destination: Destination
    report: Callable[[str], None]
    batch: int = 100
    rate: float = 1000.0
    counts: ShipCounts = field(default_factory=ShipCounts)
    files: SpoolFiles | None = None
    _stopping: bool = False
    _store: SpoolStore | None = None
    _trouble: str = ""
    _warning: str = ""
    _failing_since_s: float | None = None
    _limit: int = 0
    _proven: bool = False  # whether the receiver has taken a document
    _refused_in_row: int = 0
    _skip: int = 0  # oldest documents that an unproven receiver has refused
    _tried: int = 0  # batches of these
    _refusal: str = ""  # reason of the last one
    _backoff: Backoff = field(default_factory=Backoff)
    _cap: RateCap = field(init=False)

    def __post_init__(self) -> None:
        self._cap = RateCap(self.rate, time.monotonic())
        self._limit = self.batch

    def stop(self) -> None:
        """Have `run` return after the current request. For a signal handler."""
        self._stopping = True

    def run(self, *, until_empty: bool = False) -> None:
        """Deliver until `stop`, or until the spool is empty.

        Raises:
            SpoolUnusableError: the spool cannot be used until the operator changes something.
        """
        try:
            while not self._stopping:
                try:
                    documents = self._next()
                    if documents:
                        self._deliver(documents)
                    elif until_empty:
                        return
                    else:
                        self._sleep(_POLL_S)
                except SpoolUnusableError:
                    raise
                except SpoolError as error:
                    self._close_store()
                    self._fail(str(error))
        finally:
            self._close_store()
            self.destination.close()

    def _next(self) -> list[SpooledDocument]:
        if self._store is not None and self._store.is_replaced():
            self._close_store()
        if self._store is None:
            self._store = SpoolStore(self.folder, files=self.files)
        documents = self._store.oldest(self._limit, MAX_BATCH_BYTES, self._skip)
        if not documents and self._skip:
            self._wait_for_receiver()
            return self._next()
        return documents

    def _deliver(self, spooled: Sequence[SpooledDocument]) -> None:
        parsed = [(document, _parsed(document)) for document in spooled]
        damaged = [document for document, ready in parsed if ready is None]
        if damaged:
            self._refuse([(document, _DAMAGED) for document in damaged])
        sent = [(document, ready) for document, ready in parsed if ready is not None]
        if not sent:
            return
        self._sleep(self._cap.wait_s(time.monotonic()))
        if self._stopping:
            return
        try:
            outcome = self.destination.send([ready for _, ready in sent])
        except BatchRefusedError as error:
            self._limit = max(1, len(sent) // 2)
            if len(sent) == 1:
                self._refuse_or_skip([(sent[0][0], str(error))])
            return
        except DeliveryError as error:
            self._fail(str(error), error.retry_after_s)
            return
        self._cap.sent(len(sent), time.monotonic())
        self._apply([document for document, _ in sent], outcome)

    def _apply(self, sent: Sequence[SpooledDocument], outcome: Outcome) -> None:
        done = [
            document
            for index, document in enumerate(sent)
            if index not in outcome.refused and index not in outcome.again
        ]
        self._opened().remove(done, delivered=len(done), duplicates_sent=outcome.duplicates)
        self.counts.delivered += len(done)
        self.counts.duplicates += outcome.duplicates
        if done:
            self._proven = True
            self._refused_in_row = self._skip = self._tried = 0
        self._limit = min(self.batch, 2 * self._limit)
        self._refuse_or_skip([(sent[index], reason) for index, reason in outcome.refused.items()])
        if outcome.warning and outcome.warning != self._warning:
            self._warning = outcome.warning
            self.report(f"the receiver took the documents and warns: {outcome.warning}")
        if outcome.again:
            self._fail(f"{len(outcome.again)} documents must be sent again: {outcome.problem}")
        elif done:
            self._succeed()

    def _refuse_or_skip(self, refused: Sequence[tuple[SpooledDocument, str]]) -> None:
        """Set documents apart if the receiver is proven; else keep them, and try those behind them."""
        if not refused:
            return
        if self._proven:
            self._refuse(refused)
            self._refused_in_row += len(refused)
            self._proven = self._refused_in_row < _IN_ROW
            return
        self._skip += len(refused)
        self._tried += 1
        self._refusal = refused[0][1]
        if self._tried >= _TRIED:
            self._wait_for_receiver()

    def _wait_for_receiver(self) -> None:
        """Wait, and begin with the oldest document again."""
        self._skip = self._tried = 0
        self._fail(f"the receiver accepts no document: {self._refusal}")

    def _refuse(self, refused: Sequence[tuple[SpooledDocument, str]]) -> None:
        if not refused:
            return
        self._opened().refuse(refused)
        self.counts.refused += len(refused)
        document, reason = refused[0]
        self.report(f"set {len(refused)} documents apart, the first with the id {document.id}: {reason}")

    def _opened(self) -> SpoolStore:
        if self._store is None:
            self._store = SpoolStore(self.folder, files=self.files)
        return self._store

    def _fail(self, problem: str, retry_after_s: float | None = None) -> None:
        """Report a problem that has not been reported yet, and wait."""
        self.counts.failures += 1
        if self._failing_since_s is None:
            self._failing_since_s = time.monotonic()
        wait_s = self._backoff.after_failure(retry_after_s)
        if problem != self._trouble:
            self._trouble = problem
            asked = "" if retry_after_s is None else f" for {wait_s:.0f} s, as the receiver asks"
            self.report(f"{problem}; documents wait in the spool{asked}")
        self._sleep(wait_s)

    def _succeed(self) -> None:
        self._backoff.after_success()
        if self._failing_since_s is None:
            return
        now_s = time.monotonic()
        failing_s = now_s - self._failing_since_s
        self._failing_since_s, self._trouble = None, ""
        if failing_s >= OUTAGE_S:
            self._cap.outage_ended(now_s)
        self.report(f"delivers again after {failing_s:.0f} s")

    def _sleep(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while not self._stopping and (rest_s := end_s - time.monotonic()) > 0:
            time.sleep(min(rest_s, _SLEEP_S))

    def _close_store(self) -> None:
        if self._store is not None:
            with suppress(SpoolError):
                self._store.close()
            self._store = None


def _parsed(document: SpooledDocument) -> ShippedDocument | None:
    """Return a document ready to be sent; None: its line is no object of JSON."""
    try:
        fields = json.loads(document.line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or b"\n" in document.line:
        return None
    return ShippedDocument(document.id, document.line, fields)
