"""The table of docs/how-to/deliver-alerts.md: what each answer of a receiver does to four documents.

Each row is compared with what happens. `python tests/ship/test_answers.py` writes the rows.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script

from auditsense.ship import pace
from tests.ship.test_shipper import Run, document, elastic, fill, first_report, otlp, refused, ship, state
from tests.support.receiver import Reply, bulk_answer, make_certificate, receiving

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "deliver-alerts.md"
BEGIN: Final = "| the receiver | documents | counted | `ship` prints |\n|---|---|---|---|\n"
DOCUMENTS: Final = 4


@dataclass(frozen=True)
class Case:
    """A receiver in trouble, and afterwards one that takes everything.

    Attributes:
        title: of the row.
        replies: planned answers before those that take everything.
        bulk: whether it speaks the bulk API instead of OTLP.
        proven: whether the receiver has taken documents before, so that it is the right one.
        settings: of the shipper.
    """

    title: str
    replies: tuple[Reply, ...]
    bulk: bool = False
    proven: bool = False
    settings: dict[str, object] = field(default_factory=dict)


def text(value: str) -> Callable[[bytes], bytes]:
    """Return a function that answers with a text."""
    return lambda _: value.encode()


def refuses(number: int) -> Callable[[bytes], int]:
    """Return a function that answers 400 for a request with a document."""
    return lambda body: 400 if f'"id-{number}"'.encode() in body else 200


HANGING: Final[dict[str, object]] = {"timeout_s": 0.3}
CASES: Final = (
    Case("does not answer in time", (Reply(hang=True),), settings=HANGING),
    Case("closes the connection", (Reply(raw=b""),)),
    Case("sends half an answer", (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),)),
    Case("sends garbage", (Reply(raw=b"\x16\x03garbage\r\n\r\n"),)),
    Case("sends more than 16 MiB", (Reply(body=lambda _: bytes((16 << 20) + 1)),)),
    Case("answers 200, not as OTLP", (Reply(body=text("<html>welcome</html>")),)),
    Case("answers 200, not as a bulk API", (Reply(body=text("{}")),), bulk=True),
    Case("answers 302", (Reply(302, headers={"Location": "https://x/"}),)),
    Case("answers 401", (Reply(401),)),
    Case("answers 403", (Reply(403),)),
    Case("answers 404", (Reply(404),)),
    Case("answers 429", (Reply(429),)),
    Case("answers 429 with `Retry-After: 1`", (Reply(429, headers={"Retry-After": "1"}),)),
    Case("answers 500", (Reply(500, text("oops")),)),
    Case("answers 503", (Reply(503, text("come back later")),)),
    Case("answers 503 with `Retry-After: 1`", (Reply(503, headers={"Retry-After": "1"}),)),
    Case("answers 415: it takes no gzip", (Reply(415),)),
    Case(
        "answers 413 while a batch has more than one",
        (Reply(lambda body: 413 if body.count(b"log.record.uid") > 1 else 200),),
    ),
    Case(
        "answers 400 for one document",
        (Reply(refuses(2), lambda body: b"bad date" if refuses(2)(body) == 400 else b""),),
        proven=True,
    ),
    Case(
        "rejects one record of a batch by OTLP",
        (Reply(body=text('{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}')),),
        proven=True,
    ),
    Case(
        "takes all records by OTLP, with a warning",
        (Reply(body=text('{"partialSuccess":{"errorMessage":"3 attributes cut"}}')),),
    ),
    Case("answers 200, one item with 400", (Reply(body=bulk_answer(201, 400)),), bulk=True, proven=True),
    Case("answers 200, one item with 409", (Reply(body=bulk_answer(201, 409)),), bulk=True),
    Case("answers 200, one item with 429", (Reply(body=bulk_answer(201, 429)),), bulk=True),
    Case("answers 200, one item with 404: no such stream", (Reply(body=bulk_answer(404)),), bulk=True),
    Case("answers 200, one item with 503", (Reply(body=bulk_answer(503)),), bulk=True),
)
CERTIFICATES: Final = {
    "has a certificate that no authority signed": ("localhost", False),
    "has a certificate of another name": ("elsewhere", True),
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep waits short; `test_pace.py` tests their length."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.02)
    monkeypatch.setattr(pace, "_MOST_S", 0.05)


def row(case: Case, folder: Path) -> str:
    """Run a case, and return its row."""
    folder.mkdir(mode=0o700)
    before = DOCUMENTS if case.proven else 0
    if case.proven:
        fill(folder, 0, *((f"before-{n}", document(n + 100)) for n in range(before)))
    fill(folder, DOCUMENTS)
    good = Reply(body=bulk_answer()) if case.bulk else Reply()
    bad = case.replies if callable(case.replies[-1].status) else (*case.replies, good)
    with receiving(*[good] * case.proven, *bad) as receiver:
        url = elastic(receiver) if case.bulk else otlp(receiver)
        run = ship(folder, url, until=None, batch=DOCUMENTS, **case.settings)
    return _row(case.title, folder, run, before, receiver.port)


def certificate_row(title: str, folder: Path) -> str:
    """Run a receiver with a wrong certificate until the first report, and return its row."""
    folder.mkdir(mode=0o700)
    name, known = CERTIFICATES[title]
    certificate = make_certificate(folder, "server", name)
    fill(folder, DOCUMENTS)
    settings: dict[str, object] = {"ca_file": str(certificate[0])} if known else {}
    with receiving(certificate=certificate) as receiver:
        url = f"otlp+https://localhost:{receiver.port}"
        short, pace._FIRST_S = pace._FIRST_S, 5.0  # type: ignore[misc]  # one attempt only
        try:
            run = ship(folder, url, until=first_report, **settings)
        finally:
            pace._FIRST_S = short  # type: ignore[misc]
        assert not receiver.requests
    return _row(title, folder, run, 0, receiver.port)


def _row(title: str, folder: Path, run: Run, before: int, port: int) -> str:
    counts, kept = run.shipper.counts, state(folder).documents
    delivered = counts.delivered - before
    assert len(refused(folder)) == counts.refused
    assert delivered + counts.refused + kept == DOCUMENTS
    outcome = {"delivered": delivered, "set apart": counts.refused, "kept": kept}
    counted = {"failures": counts.failures, "refused": counts.refused, "duplicates_sent": counts.duplicates}
    printed = run.lines[0] if run.lines else ""
    for found, shown in ((f":{port}", ":PORT"), ("localhost", "HOST"), ("127.0.0.1", "HOST")):
        printed = printed.replace(found, shown)
    cells = [
        title,
        _listed(outcome, "{1} {0}"),
        _listed(counted, "{0} {1}"),
        f"`{printed}`" if printed else "nothing",
    ]
    return f"| {' | '.join(cells)} |"


def _listed(numbers: dict[str, int], form: str) -> str:
    return ", ".join(form.format(name, number) for name, number in numbers.items() if number) or "nothing"


def rows_of_page() -> dict[str, str]:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition(BEGIN)[2].partition("\n\n")[0]
    return {line.split(" | ")[0].removeprefix("| "): line for line in table.split("\n")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_row_states_what_happens(case: Case, tmp_path: Path) -> None:
    assert rows_of_page()[case.title] == row(case, tmp_path / "spool")


@pytest.mark.parametrize("title", CERTIFICATES)
def test_row_of_a_certificate_states_what_happens(title: str, tmp_path: Path) -> None:
    assert rows_of_page()[title] == certificate_row(title, tmp_path / "spool")


def test_page_has_no_other_row() -> None:
    assert list(rows_of_page()) == [*(case.title for case in CASES), *CERTIFICATES]


def write_rows() -> None:
    """Write the rows of the page."""
    pace._FIRST_S, pace._MOST_S = 0.02, 0.05  # type: ignore[misc]  # as `no_waiting`
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(case, Path(folder) / f"case-{n}") for n, case in enumerate(CASES)]
        rows += [certificate_row(title, Path(folder) / title) for title in CERTIFICATES]
    page = PAGE.read_text(encoding="utf-8")
    head, begin, rest = page.partition(BEGIN)
    assert begin, f"{PAGE} has no table that begins with {BEGIN}"
    PAGE.write_text(head + begin + "\n".join(rows) + "\n\n" + rest.partition("\n\n")[2], encoding="utf-8")


if __name__ == "__main__":
    write_rows()
