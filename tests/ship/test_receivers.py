"""Delivery to real receivers. Each is skipped, and named, where it is not installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from auditsense.sinks.spool_store import SpoolStore
from auditsense.testing import burst
from bench import delivery
from tests.ship.test_shipper import document
from tests.support.faults import NO_HOST, Recorder
from tests.support.real_receivers import (
    add_stream,
    add_template,
    collected_ids,
    collector,
    http,
    nats_client,
    nats_server,
    open_search,
    stored_ids,
    victoria_logs,
)

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deliver-alerts.md"
PROGRAM = Path(sys.executable).with_name("auditsense")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return path


def fill(folder: Path, first: int, count: int, *more: tuple[str, bytes]) -> None:
    store = SpoolStore(folder, size=64 << 20)
    store.append([*((f"id-{n}", document(n)) for n in range(first, first + count)), *more])
    store.close()


def ship(folder: Path, url: str, *options: str) -> str:
    """Deliver with the command, until the spool is empty. Returns its messages."""
    result = subprocess.run(
        [PROGRAM, "ship", "--spool", folder, "--to", url, "--until-empty", "--max-rate", "0", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    return result.stderr


def ids(count: int) -> list[str]:
    return [f"id-{n}" for n in range(count)]


def test_collector_receives_each_document_once(folder: Path, tmp_path: Path) -> None:
    fill(folder, 0, 350)
    with collector(tmp_path) as receiver:
        messages = ship(folder, receiver.url)
        receiver.wait_until(lambda: len(collected_ids(receiver)) >= 350)
        assert collected_ids(receiver) == ids(350)
    assert "350 documents delivered, 0 of them known to the receiver; 0 set apart; 0 failures" in messages


def test_open_search_has_each_document_once(folder: Path, tmp_path: Path) -> None:
    """A data stream, its documents by id, a second delivery, and a document that its mapping refuses."""
    with open_search(tmp_path) as receiver:
        base = f"http://127.0.0.1:{receiver.port}"
        add_template(receiver)
        fill(folder, 0, 250, ("bad", document(0).replace(b"2026-11-24T07:13:55.204Z", b"yesterday")))
        messages = ship(folder, receiver.url)
        assert "set 1 documents apart, the first with the id bad: 400: mapper_parsing_exception" in messages
        fill(folder, 200, 100)
        messages = ship(folder, receiver.url)
        assert "100 documents delivered, 50 of them known to the receiver" in messages
        http(f"{base}/_refresh", b"")
        count = http(f"{base}/logs-auditsense.alert-default/_count")
        assert count["count"] == 300
        hits = http(f"{base}/logs-auditsense.alert-default/_search?q=_id:id-7")["hits"]["hits"]
        assert hits[0]["_source"]["message"] == "message 7"


def test_victoria_logs_has_each_document(folder: Path, tmp_path: Path) -> None:
    fill(folder, 0, 250)
    with victoria_logs(tmp_path) as receiver:
        ship(folder, receiver.url)
        query = f"http://127.0.0.1:{receiver.port}/select/logsql/query?query=event.dataset:auditsense.alert+|+count()"
        receiver.wait_until(lambda: http(query) == {"count(*)": "250"})


def test_jetstream_stores_each_document_once(folder: Path, tmp_path: Path) -> None:
    nats_client()
    with nats_server(tmp_path) as receiver:
        add_stream(receiver)
        fill(folder, 0, 250)
        ship(folder, receiver.url)
        fill(folder, 200, 100)
        messages = ship(folder, f"{receiver.url}/auditsense.alerts")
        assert "100 documents delivered, 50 of them known to the receiver" in messages
        assert stored_ids(receiver) == ids(300)


def test_subject_without_a_stream_keeps_documents(folder: Path, tmp_path: Path) -> None:
    nats_client()
    with nats_server(tmp_path) as receiver:
        fill(folder, 0, 1)
        with subprocess.Popen(
            [PROGRAM, "ship", "--spool", folder, "--to", receiver.url], stderr=subprocess.PIPE, text=True
        ) as shipper:
            assert shipper.stderr is not None
            lines = [shipper.stderr.readline(), shipper.stderr.readline()]
            shipper.terminate()
    assert "has no stream for the subject auditsense.alerts; create one" in lines[1]
    store = SpoolStore(folder)
    assert store.state().documents == 1
    store.close()


@pytest.mark.parametrize("receiver", ["nats", "otlp"])
def test_nothing_is_lost_when_processes_are_killed(receiver: str, tmp_path: Path, fault: Recorder) -> None:
    """SIGKILL to the sensor, the spool's process, the shipper and the receiver at random moments."""
    result = delivery.measure(receiver, tmp_path, documents=1500, kills=8, seed=1)
    assert result.kills == dict.fromkeys(delivery.TARGETS, 2)
    assert result.lost == 0
    assert result.lost_with_sensor <= result.documents - result.committed
    assert result.lost_after_replay == 0
    if receiver == "nats":
        assert result.stored_twice == 0
    fault(
        "the sensor, the process of the spool, the shipper and the receiver are killed",
        how="SIGKILL to each of them twice at random moments while 1,500 documents are delivered",
        did="delivered every document that was committed; JetStream stores each once, a collector some twice",
        lost="what a killed sensor had read and not passed on, until the log is replayed into the spool",
        reported="“cannot reach …; documents wait in the spool”, and “delivers again after … s”",
        host=NO_HOST,
    )


def test_alerts_of_a_replay_are_found_in_open_search(tmp_path: Path) -> None:
    """The whole way: a log, the spool, the template and the query of the how-to page."""
    spool, log = tmp_path / "alerts", tmp_path / "audit.log"
    log.write_bytes(b"".join(event.text for event in burst(10)))
    replay = [str(PROGRAM), "replay", str(log), "--sink", f"spool:{spool}"]
    subprocess.run(replay, check=True, capture_output=True, timeout=300)
    query = re.search(r"_search\?q=(\S+)'", PAGE.read_text(encoding="utf-8"))
    assert query is not None
    with open_search(tmp_path) as receiver:
        add_template(receiver)
        ship(spool, receiver.url)
        base = f"http://127.0.0.1:{receiver.port}/logs-auditsense.alert-default"
        http(f"{base}/_refresh", b"")
        hits = http(f"{base}/_search?q={query[1]}")["hits"]["hits"]
        mapping = json.dumps(http(f"{base}/_mapping"))
    assert [hit["_source"]["event"]["kind"] for hit in hits] == ["alert"]
    assert hits[0]["_id"] == hits[0]["_source"]["event"]["id"]
    assert hits[0]["_source"]["message"].startswith("low pspy: ")
    assert '"pid": {"type": "long"}' in mapping


def test_alert_of_a_replay_is_found_in_victoria_logs(tmp_path: Path) -> None:
    """The whole way: a log, the spool, and the query of the how-to page."""
    spool, log = tmp_path / "alerts", tmp_path / "audit.log"
    log.write_bytes(b"".join(event.text for event in burst(10)))
    replay = [str(PROGRAM), "replay", str(log), "--sink", f"spool:{spool}"]
    query = re.search(r"logsql/query -d '(query=[^']+)'", PAGE.read_text(encoding="utf-8"))
    assert query is not None
    with victoria_logs(tmp_path) as receiver:
        subprocess.run(replay, check=True, capture_output=True, timeout=300)
        ship(spool, receiver.url)
        address = f"http://127.0.0.1:{receiver.port}/select/logsql/query"
        receiver.wait_until(lambda: http(address, query[1].encode()))
        found = http(address, query[1].encode())
    assert found["_msg"].startswith("low pspy: ")
    assert found["process.executable"] == "/usr/local/bin/pspy64"
