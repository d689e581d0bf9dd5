"""Documents about the alert limit and about clocks: each field of them."""

from __future__ import annotations

from typing import Any

import pytest

from auditsense import AlertPolicy, Detector, Host
from auditsense.detect.notices import clock_document, withheld_document
from auditsense.testing import open_event

HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674


def listed_of(login: bytes = b"4294967295", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - those of open_event
    """Return the row of the second of two bursts of one program: the one that is withheld."""
    text = b"".join(
        open_event(ms=START + 100 * n, serial=1 + n + 100 * pid, pid=pid, **fields).text
        for pid in (7, 8)
        for n in range(12)
    ).replace(b"auid=4294967295", b"auid=" + login)
    with Detector(host=HOST, policy=AlertPolicy(max_alerts=5)) as detector:
        (document,) = [
            document
            for document in detector.feed_text(text) + detector.finish()
            if document["rule"]["id"] == "auditsense.withheld"
        ]
    (row,) = document["auditsense"]["withheld"]["processes"]
    return dict(row)


def test_row_of_a_withheld_burst() -> None:
    assert listed_of(uid=65534, node="web1") == {
        "rule": "pspy",
        "pid": 8,
        "name": "pspy64",
        "executable": "/usr/local/bin/pspy64",
        "user": "65534",
        "login": "unset",
        "host": "web1",
        "count": 12,
        "since": "2026-11-24T04:05:14.674Z",
        "until": "2026-11-24T04:05:15.774Z",
    }


def test_row_names_the_login() -> None:
    row = listed_of(b"1000", uid=0)
    assert (row["user"], row["login"]) == ("0", "1000")
    assert "host" not in row


def test_withheld_document_counts_those_that_it_does_not_list() -> None:
    row: Any = {
        "rule": "pspy",
        "pid": 8,
        "name": "p s",
        "executable": "/bin/p",
        "user": "65534",
        "count": 12,
    }
    document = withheld_document(HOST, rows=[row, row | {"pid": 9}], ms=START, count=5)
    assert document["auditsense"]["withheld"] == {
        "count": 5,
        "processes": [row, {**row, "pid": 9}],
        "more": 3,
    }
    assert document["auditsense"]["state"] == "withheld"
    assert document["process"] == {"pid": 8, "name": "p s", "executable": "/bin/p"}
    assert document["user"] == {"id": "65534"}
    assert document["event"]["kind"] == "state"
    assert document["@timestamp"] == "2026-11-24T04:05:14.674Z"
    assert document["message"] == (
        '5 alerts are withheld, over the limit of the interval; first: "p s"[8] /bin/p user 65534, 12 matches'
    )


def test_withheld_document_of_unknown_process() -> None:
    row: Any = {"rule": "pspy", "count": 1}
    document = withheld_document(HOST, rows=[row], ms=START, count=1)
    assert document["message"].endswith("first: ?[?] ? user ?, 1 matches")
    assert "process" not in document
    assert "user" not in document


@pytest.mark.parametrize(
    ("step_ms", "words"), [(1, "ahead by 0.0 s"), (90_000, "ahead by 90.0 s"), (-1500, "back by 1.5 s")]
)
def test_clock_document(step_ms: int, words: str) -> None:
    document = clock_document(HOST, ms=START, step_ms=step_ms, before_ms=START - 1000)
    assert document["message"] == f"the clock stepped {words}, or the host was suspended"
    assert document["auditsense"]["clock"] == {
        "step_ms": step_ms,
        "before": "2026-11-24T04:05:13.674Z",
        "after": "2026-11-24T04:05:14.674Z",
    }
    assert document["event"]["kind"] == "state"
