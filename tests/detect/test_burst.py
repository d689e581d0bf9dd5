"""A burst belongs to one actor: nothing is credited to a program that did not do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AlertPolicy, Detector, Host, shipped_detections
from auditsense.testing import open_event
from tests.support.faults import NO_HOST, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense import Document

PSPY = shipped_detections()[:1]
HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674


def opens(
    at: int,
    times: int,
    *,
    auid: int = 4294967295,
    ses: int = 4294967295,
    **fields: Any,  # noqa: ANN401 - those of open_event
) -> list[bytes]:
    """Return opens of one pid, the first with the serial *at*, a millisecond each."""
    return [
        open_event(ms=START + at + n, serial=at + n, pid=7, **fields)
        .text.replace(b"auid=4294967295", f"auid={auid}".encode())
        .replace(b"ses=4294967295", f"ses={ses}".encode())
        for n in range(times)
    ]


def documents(text: Iterable[bytes], policy: AlertPolicy | None = None, size: int = 1) -> list[Document]:
    lines = [*text]
    with Detector(PSPY, host=HOST, policy=policy) as detector:
        alerts: list[Document] = []
        for at in range(0, len(lines), size):
            alerts += detector.feed_text(b"".join(lines[at : at + size]))
        return alerts + detector.finish()


def told(documents: Iterable[Document]) -> list[tuple[Any, ...]]:
    return [
        (
            document["process"]["executable"],
            document["user"]["id"],
            document["auditsense"]["state"],
            document["auditsense"]["count"],
            document["auditsense"].get("others", 0),
        )
        for document in documents
    ]


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_exec_begins_another_burst(size: int, fault: Recorder) -> None:
    text = opens(1, 12, exe="/usr/bin/python3", uid=0) + opens(20, 2000, exe="/tmp/scan", uid=65534)  # noqa: S108
    assert told(documents(text, size=size)) == [
        ("/usr/bin/python3", "0", "alert", 10, 0),
        ("/tmp/scan", "65534", "alert", 1, 9),  # noqa: S108
        ("/usr/bin/python3", "0", "closed", 12, 0),
        ("/tmp/scan", "65534", "closed", 2000, 9),  # noqa: S108
    ]
    fault(
        "a process execs a scanner that is another user",
        how="12 opens of Python as root, then 2,000 of another program of the same pid, replayed",
        did="began another burst, and counted the window's nine events of Python apart",
        lost=NOTHING,
        reported="an alert and a closing document of each, with 12 and 2,000 matches",
        host=NO_HOST,
    )


@pytest.mark.parametrize(
    "other", [{"uid": 1}, {"exe": "/b"}, {"exe": None}, {"auid": 5}, {"ses": 6}], ids=str
)
def test_each_part_of_an_actor_separates_bursts(other: dict[str, Any]) -> None:
    text = opens(1, 10, exe="/a", uid=0) + opens(100, 10, **{"exe": "/a", "uid": 0, **other})
    alerts = documents(text)
    assert [document["auditsense"]["state"] for document in alerts] == ["alert", "alert", "closed"]
    assert [document["auditsense"]["count"] for document in alerts] == [10, 1, 10]
    assert alerts[0]["auditsense"]["burst"] != alerts[1]["auditsense"]["burst"]


def test_actors_that_take_turns_keep_their_counts() -> None:
    text = [
        line for n in range(50) for line in opens(1 + 10 * n, 3, exe="/a") + opens(4 + 10 * n, 2, exe="/b")
    ]
    alerts = {
        document["process"]["executable"]: document["auditsense"]["count"] for document in documents(text)
    }
    assert alerts == {"/a": 149, "/b": 100}  # the first open is in no window that /a completed


def test_documents_of_a_burst_share_its_id() -> None:
    text = opens(1, 5000, exe="/a") + opens(8000, 20, exe="/b")
    alerts = documents(text, AlertPolicy(update_ms=1000))
    ids = {name: set() for name in ("/a", "/b")}  # type: dict[str, set[str]]
    for document in alerts:
        ids[document["process"]["executable"]].add(document["auditsense"]["burst"]["id"])
    assert {len(some) for some in ids.values()} == {1}
    assert ids["/a"] != ids["/b"]
    states = [
        document["auditsense"]["state"] for document in alerts if document["process"]["executable"] == "/a"
    ]
    assert states[0] == "alert"
    assert states[-1] == "closed"
    assert "update" in states
    assert len({document["event"]["id"] for document in alerts}) == len(alerts)


def test_counting_alerts_by_kind_counts_each_burst_once() -> None:
    alerts = documents(opens(1, 5000), AlertPolicy(update_ms=1000))
    assert len(alerts) > 3
    assert [document["event"]["kind"] for document in alerts].count("alert") == 1
    assert [document["event"]["dataset"] for document in alerts].count("auditsense.alert") == 1


def test_merged_actors_are_listed_with_their_counts() -> None:
    text = opens(1, 12, exe="/a", uid=3) + opens(20, 30, exe="/b", uid=3)
    alert, closed = documents(text, AlertPolicy(by=("user.id",)))
    assert "actors" not in alert["auditsense"]
    assert closed["auditsense"]["actors"] == [
        {"executable": "/a", "user": "3", "login": "unset", "session": "unset", "count": 12},
        {"executable": "/b", "user": "3", "login": "unset", "session": "unset", "count": 30},
    ]
    assert closed["auditsense"]["count"] == 42


def test_actors_beyond_the_bound_are_counted() -> None:
    text = [line for n in range(100) for line in opens(1 + 20 * n, 10, exe=f"/{n}", uid=3)]
    *_, closed = documents(text, AlertPolicy(by=("user.id",)))
    own = closed["auditsense"]
    assert len(own["actors"]) == 64
    assert sum(one["count"] for one in own["actors"]) + own["more_actors"] == own["count"]


def test_sequences_count_matches_of_others() -> None:
    text = opens(1, 10, exe="/a") + opens(20, 5, exe="/b")
    with Detector(PSPY, host=HOST, sequences=True) as detector:
        alerts = detector.feed_text(b"".join(text))
    assert [document["auditsense"].get("others", 0) for document in alerts] == [0, 9, 8, 7, 6, 5]
    assert {document["auditsense"]["count"] for document in alerts} == {10}


def test_windows_beyond_the_bound_count_one_match_each() -> None:
    """A burst counts 1,024 windows separately; of any other one only its completions count."""
    text = [
        open_event(ms=START + 20 * pid + n, serial=1 + 20 * pid + n, pid=1 + pid, uid=3).text
        for pid in range(1030)
        for n in range(10)
    ]
    for policy in (AlertPolicy(by=("user.id",)), AlertPolicy(by=("process.executable",))):
        _, closed = documents(text, policy)
        assert closed["auditsense"]["count"] == 1024 * 10 + 6
